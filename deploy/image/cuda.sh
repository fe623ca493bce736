#!/bin/sh
# Installs CUDA from Python packages into a folder, laid out as CUDA's own installer does. Usage: cuda.sh LIST FOLDER
set -eu

python3 -m pip install -q --disable-pip-version-check --no-cache-dir --no-compile --root-user-action=ignore \
  --target="$2/python" -r "$1"
cp -al "$2"/python/nvidia/cu13/. "$2"/python/nvidia/cudnn/. "$2"
rm -rf "$2/python"
ln -s lib "$2/lib64"
# Programs are linked against names without a version, which Python packages leave out.
for library in "$2"/lib/*.so.*; do
  ln -sf "${library##*/}" "${library%%.so.*}.so"
done
