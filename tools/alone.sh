#!/usr/bin/env bash
# `tools/alone.sh FOLDER`: the wheel of this checkout in FOLDER, and FOLDER/venv with it and the locked packages alone,
# as an installation has them: no test's package, nothing of the checkout. Needs `make setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
here=$PWD/.venv/bin/python
mkdir -p "$folder"
rm -rf "$folder"/venv "$folder"/*.whl
# the same commit gives the same bytes
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 315532800) "$here" -m hatchling build -t wheel -d "$folder" >/dev/null
"$here" -m venv --without-pip "$folder/venv"
if command -v uv >/dev/null; then
  install=(uv pip install -q --python "$folder/venv/bin/python")
else
  install=("$here" -m pip --python "$folder/venv/bin/python" install -q --disable-pip-version-check)
fi
"${install[@]}" --require-hashes --no-deps -r requirements.lock
"${install[@]}" --no-index --no-deps "$folder"/*.whl
