#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: Debian packages, and a Python environment in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for package in $(sed 's/#.*//' deploy/packages/build.txt deploy/packages/test.txt); do
  if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
    missing+=("$package")
  fi
done

if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then as_root=(sudo); fi
  echo "Installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

if [[ ! -x .venv/bin/python ]]; then
  python3 -m venv .venv
fi
echo "Installing Python packages into .venv"
.venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
# The client itself, editable, so that its sources are what the tests import.
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps \
  --no-build-isolation -e client/python
