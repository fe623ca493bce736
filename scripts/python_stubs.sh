#!/usr/bin/env bash
# Generates the Python stubs of proto/ into the client, as gradwire._proto.gradwire.v1.*.
# Usage: scripts/python_stubs.sh [PYTHON]   (default: .venv/bin/python; it needs grpcio-tools)
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-.venv/bin/python}
out=client/python/gradwire/_proto

rm -rf "$out"
mkdir -p "$out"
"$python" -m grpc_tools.protoc -I proto --python_out="$out" --pyi_out="$out" \
  --grpc_python_out="$out" proto/gradwire/v1/*.proto
touch "$out"/__init__.py "$out"/gradwire/__init__.py "$out"/gradwire/v1/__init__.py

# protoc writes imports from the root of proto/; inside the client that root is gradwire._proto, and
# `gradwire` is the client itself.
find "$out" -name '*.py*' -exec \
  sed -i -E 's/^from gradwire\.v1 import/from gradwire._proto.gradwire.v1 import/' {} +

# protoc writes a service stub for each file; only one file has a service.
for file in "$out"/gradwire/v1/*_pb2_grpc.py; do
  grep -q 'class .*Stub' "$file" || rm "$file"
done
