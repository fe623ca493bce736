#!/bin/sh
# Builds what an image's target needs, and lays out what its final stage holds, by files.txt.
# Usage: build.sh cpu|cuda FOLDER [JOBS]
set -eu
cd "$(dirname "$0")/../.."
target=$1 out=$2 jobs=${3:-$(nproc)}

case $target in
  cpu) made=gradwire-server cuda=OFF ;;
  cuda) made=gradwire_cuda cuda=ON ;;
esac
CUDACXX=/opt/cuda/bin/nvcc cmake -S . -B build/image -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DGRADWIRE_TESTS=OFF -DGRADWIRE_CUDA="$cuda"
cmake --build build/image -j "$jobs" --target "$made"
sed -n "s/^$target  *//p" deploy/image/files.txt | while read -r files folder; do
  case $files in
    build/*) strip="-s" ;;
    *) strip="" ;;
  esac
  # shellcheck disable=SC2086  # files is a pattern, and strip may be nothing
  install -D -m 755 $strip -t "$out/$folder" $files
done
