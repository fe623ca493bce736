#!/bin/sh
# Packs what scripts/test_cuda.sh runs on a machine with a GPU and nothing of ours: the operators' tests, the CUDA
# library, and the shared libraries that both need but for the C library and CUDA's.
# Usage: scripts/cuda_bundle.sh; writes build/cuda-check.tar.xz
set -eu
cd "$(dirname "$0")/.."
tests=build/release/gradwire_op_tests
library=build/cuda/libgradwire_cuda.so
work=build/cuda-check
rm -rf "$work"
mkdir -p "$work/lib"
strip -o "$work/gradwire_op_tests" "$tests"
strip --strip-unneeded -o "$work/libgradwire_cuda.so" "$library"
ldd "$tests" | awk '$2 == "=>" {print $3}' | grep -v -E '/(libc|libm|libdl|libpthread|librt)\.so' |
  xargs -I{} cp -L {} "$work/lib/"
tar -C build -cf - cuda-check | xz -T0 -6 >build/cuda-check.tar.xz.new
mv build/cuda-check.tar.xz.new build/cuda-check.tar.xz
ls -l build/cuda-check.tar.xz
