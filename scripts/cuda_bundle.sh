#!/bin/sh
# Packs what scripts/test_cuda.sh and bench_cuda.sh run on a machine with a GPU and nothing of ours: the tests of operators
# and sessions, the server, the CUDA library, the shared libraries that they need but for the C library and CUDA's, and the
# Python client with its stubs.
# Usage: scripts/cuda_bundle.sh; writes build/cuda-check.tar.xz
set -eu
cd "$(dirname "$0")/.."
library=build/cuda/libgradwire_cuda.so
work=build/cuda-check
rm -rf "$work"
mkdir -p "$work/lib"
for program in gradwire_op_tests gradwire-server; do
  strip -o "$work/$program" build/release/$program
  ldd build/release/$program
done | awk '$2 == "=>" {print $3}' | sort -u | grep -v -E '/(libc|libm|libdl|libpthread|librt)\.so' |
  xargs -I{} cp -L {} "$work/lib/"
strip --strip-unneeded -o "$work/libgradwire_cuda.so" "$library"
mkdir "$work/python"
cp -r client/python/gradwire "$work/python/"
find "$work/python" -name __pycache__ -prune -exec rm -r {} +
tar -C build -cf - cuda-check | xz -T0 -6 >build/cuda-check.tar.xz.new
mv build/cuda-check.tar.xz.new build/cuda-check.tar.xz
ls -l build/cuda-check.tar.xz
