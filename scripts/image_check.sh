#!/usr/bin/env bash
# Takes the Dockerfile's steps without a container engine, in Debian 13 roots made by debootstrap: builds there, and passes
# the end-to-end tests against the final stage's server, which runs as a non-root user on a read-only root.
# Usage: scripts/image_check.sh   (as root; needs the Debian mirror; roots stay in build/image-check for the next time)
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/build/image-check
jobs=${JOBS:-$(nproc)}
max_bytes=$((200 * 1000 * 1000))
mkdir -p "$work"

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
  mount -t proc proc "$root/proc"
  chroot "$root" /deploy/packages.sh /deploy/list.txt >>"$root.log" || { umount "$root/proc"; return 1; }
  umount "$root/proc"
  rm -r "$root/deploy"
  cp "$list" "$stamp"
}

echo "== build stage =="
make_root "$work/build" deploy/packages/build.txt
mkdir -p "$work/build/src"
tar -c CMakeLists.txt proto client/cpp server deploy/image | tar -x -C "$work/build/src"
mount -t proc proc "$work/build/proc"
trap 'umount "$work/build/proc" 2>/dev/null || true' EXIT
rm -rf "$work/build/out"
chroot "$work/build" /src/deploy/image/build.sh /out "$jobs"
umount "$work/build/proc"

echo "== final stage =="
make_root "$work/cpu" deploy/packages/runtime.txt
cp -r "$work/build/out/." "$work/cpu/"
size=$(du -sxB1 "$work/cpu" | cut -f1)
echo "the image takes $((size / 1000000)) MB unpacked"
if ((size >= max_bytes)); then
  echo "more than $((max_bytes / 1000000)) MB" >&2
  exit 1
fi

echo "== end-to-end tests =="
GRADWIRE_IMAGE_ROOT=$work/cpu GRADWIRE_SERVER=$PWD/deploy/image/run.sh \
  .venv/bin/python -m pytest -q tests/image tests/e2e -m "not files" "$@"
