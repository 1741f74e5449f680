#!/usr/bin/env bash
# `make release`: wheel, image, SBOM and checksums of this version in dist/. The version stands in pyproject.toml alone
# (tests hold the manifests to it); what changed is written into CHANGELOG.md by hand, under its heading.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
fail() { echo "no release: $1" >&2; exit 1; }

[[ -z $(git status --porcelain) ]] || fail "the tree has changes that are in no commit"
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no heading [$version]"
rm -rf dist && mkdir dist
tools/alone.sh build/release
cp build/release/*.whl dist/
.venv/bin/cyclonedx-py environment build/release/venv --pyproject pyproject.toml --mc-type application \
  --output-reproducible --of JSON -o "dist/carteiro-$version.cdx.json" 2>/dev/null
docker save "carteiro:$version" | gzip -n > "dist/carteiro-$version-image.tar.gz"
(cd dist && sha256sum -- * > SHA256SUMS)
cat dist/SHA256SUMS
