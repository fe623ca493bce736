#!/bin/sh
# Builds the server and lays out what the image's final stage holds, by files.txt. Usage: build.sh FOLDER [JOBS]
set -eu
cd "$(dirname "$0")/../.."

cmake -S . -B build/image -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADWIRE_TESTS=OFF
cmake --build build/image -j "${2:-$(nproc)}" --target gradwire-server
sed 's/#.*//; /^ *$/d' deploy/image/files.txt | while read -r source target; do
  install -D -s -m 755 "$source" "$1/$target"
done
