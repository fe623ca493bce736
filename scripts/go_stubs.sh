#!/usr/bin/env bash
# Lays the Go client out for Debian's Go packages, in GOPATH mode: FOLDER/src/gradwire is client/go, with the stubs of the
# .proto files as gradwire/pb. Usage: scripts/go_stubs.sh [FOLDER]   (default: build/go)
# Then: GO111MODULE=off GOPATH=FOLDER:/usr/share/gocode go test gradwire/...
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-build/go}/src/gradwire
rm -rf "$out"
mkdir -p "$out/pb"

options=(--go_opt=paths=source_relative --go-grpc_opt=paths=source_relative)
for proto in proto/gradwire/v1/*.proto; do
  name=gradwire/v1/$(basename "$proto")
  options+=("--go_opt=M$name=gradwire/pb" "--go-grpc_opt=M$name=gradwire/pb")
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
protoc -I proto --go_out="$work" --go-grpc_out="$work" "${options[@]}" proto/gradwire/v1/*.proto
mv "$work"/gradwire/v1/*.go "$out/pb/"
cp -r client/go/. "$out/"
