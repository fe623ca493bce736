#!/usr/bin/env bash
# A load test: starts a server of a build, puts gradwire-bench on it, stops the server, and says where the report is. With
# --target=HOST:PORT among the flags the load goes to that server, and none is started.
# Usage: scripts/load.sh BUILD_FOLDER REPORT_FOLDER [FLAGS OF gradwire-bench...]
set -euo pipefail
cd "$(dirname "$0")/.."

build=$1 out=$2
shift 2
mkdir -p "$out"
rm -f "$out"/report.{html,json}

server_flags=()
if [[ " $*" != *" --target"* ]]; then
  : >"$out/server.out"  # at once: what an earlier server wrote there is not to be read
  "$build/gradwire-server" --port 0 >"$out/server.out" 2>"$out/server.log" &
  server=$!
  trap 'kill "$server" 2>/dev/null && wait "$server" || true' EXIT

  target=
  for _ in $(seq 100); do
    target=$(sed -n 's/^listening on //p' "$out/server.out")
    [[ -n $target ]] && break
    kill -0 "$server" || { cat "$out/server.log" >&2; exit 3; }
    sleep 0.1
  done
  [[ -n $target ]] || { echo "the server does not listen: $out/server.log" >&2; exit 3; }
  server_flags=(--target="$target" --server_pid="$server")
fi

status=0
"$build/gradwire-bench" "${server_flags[@]}" --json="$out/report.json" --html="$out/report.html" "$@" || status=$?
[[ ! -s $out/report.html ]] || echo "report: $out/report.html (and report.json)"
exit "$status"
