#!/usr/bin/env bash
# Takes the Dockerfile's steps without a container engine, in Debian 13 roots made by debootstrap: builds there, and passes
# the end-to-end tests against the final stage's server, which runs as a non-root user on a read-only root.
# Usage: scripts/image_check.sh [cpu|cuda] [PYTEST_ARGUMENT...]
#   (as root; needs the Debian mirror, and for cuda PyPI; roots stay in build/image-check for the next time)
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-cpu}
shift || true
work=$PWD/build/image-check
build=$work/build
root=$work/$target
jobs=${JOBS:-$(nproc)}
max_cpu_bytes=$((200 * 1000 * 1000))
mkdir -p "$work"

mounted=()
unmount() {
  local at
  for at in "${mounted[@]}"; do umount "$at" 2>/dev/null || true; done
  mounted=()
}
trap unmount EXIT

# Runs a command in a root, with what a container engine gives it: /proc, names, and the machine's certificates.
inside() {
  local root=$1
  shift
  mounted+=("$root/proc")
  mount -t proc proc "$root/proc"
  if [[ -d $root/etc/ssl/certs ]]; then
    mounted+=("$root/etc/ssl/certs")
    mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
  fi
  chroot "$root" "$@"
  unmount
}

# A root as debian:13-slim is, with the packages of a list.
make_root() {
  local root=$1 list=$2
  local stamp=$root.packages
  if cmp -s "$list" "$stamp"; then return; fi
  rm -rf "$root"
  debootstrap --variant=minbase trixie "$root" >"$root.log"
  mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
  printf 'path-exclude=/usr/share/%s/*\n' doc man locale info lintian linda >"$root/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$root"/usr/share/{doc,man,locale,info,lintian}/* "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*
  install -D deploy/image/packages.sh "$root/deploy/packages.sh"
  cp "$list" "$root/deploy/list.txt"
  inside "$root" /deploy/packages.sh /deploy/list.txt >>"$root.log"
  rm -r "$root/deploy"
  cp "$list" "$stamp"
}

# CUDA in the build root, as the stage build-cuda installs it.
install_cuda() {
  local list=deploy/packages/cuda.txt stamp=$work/cuda.packages
  if [[ -d $build/opt/cuda ]] && cmp -s "$list" "$stamp"; then return; fi
  rm -rf "$build/opt/cuda"
  inside "$build" /src/deploy/image/packages.sh /src/deploy/packages/pip.txt >>"$build.log"
  inside "$build" /src/deploy/image/cuda.sh /src/deploy/packages/cuda.txt /opt/cuda
  cp "$list" "$stamp"
}

echo "== build stage =="
make_root "$build" deploy/packages/build.txt
mkdir -p "$build/src"
tar -c CMakeLists.txt proto client/cpp server deploy/image deploy/packages | tar -x -C "$build/src"
rm -rf "$build"/out*
inside "$build" /src/deploy/image/build.sh cpu /out "$jobs"
if [[ $target == cuda ]]; then
  install_cuda
  inside "$build" /src/deploy/image/build.sh cuda /out-cuda "$jobs"
fi

echo "== final stage =="
make_root "$root" deploy/packages/runtime.txt
cp -r "$build/out/." "$root/"
if [[ $target == cuda ]]; then cp -r "$build/out-cuda/." "$root/"; fi
size=$(du -sxB1 "$root" | cut -f1)
echo "the image takes $((size / 1000000)) MB unpacked"
if [[ $target == cpu ]] && ((size >= max_cpu_bytes)); then
  echo "more than $((max_cpu_bytes / 1000000)) MB" >&2
  exit 1
fi

echo "== end-to-end tests =="
GRADWIRE_IMAGE=$target GRADWIRE_IMAGE_ROOT=$root GRADWIRE_SERVER=$PWD/deploy/image/run.sh \
  .venv/bin/python -m pytest -q tests/image tests/e2e -m "not files" "$@"
