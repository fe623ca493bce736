#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: Debian packages, and a Python environment in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh deploy/packages/build.txt deploy/packages/test.txt

if [[ ! -x .venv/bin/python ]]; then
  python3 -m venv .venv
fi
echo "Installing Python packages into .venv"
.venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
# The client itself, editable, so that its sources are what the tests import.
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps \
  --no-build-isolation -e client/python
