#!/usr/bin/env bash
# Drives fuzz targets with libFuzzer, each for some seconds, from the seeds and what earlier runs kept in build/fuzz/corpus.
# Usage: scripts/fuzz.sh SECONDS [TARGET...]   (default: all targets)
# What breaks one is left in build/fuzz/found, and the exit status is 1. Once the defect is gone, the file belongs into
# tests/fuzz/crashers/TARGET, where `make test` runs it for ever.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
build=build/fuzz
rm -rf "$build/seeds" "$build/found"
mkdir -p "$build/found"
.venv/bin/python tests/fuzz/seeds.py "$build/seeds"
if (($# == 0)); then
  mapfile -t targets < <(ls "$build/seeds")
  set -- "${targets[@]}"
fi

status=0
for target in "$@"; do
  mkdir -p "$build/corpus/$target"
  echo "== $target: $seconds s =="
  crashers=tests/fuzz/crashers/$target
  [[ -d $crashers ]] || crashers=
  GRADWIRE_FUZZ_TARGET=$target UBSAN_OPTIONS=print_stacktrace=1 "$build/gradwire_fuzz" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$build/found/$target-" "$build/corpus/$target" "$build/seeds/$target" ${crashers:+"$crashers"} \
    || status=1
done
ls "$build/found"
exit "$status"
