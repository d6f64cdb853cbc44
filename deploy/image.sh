#!/usr/bin/env bash
# Builds the image of a release: deploy/image.sh [TAG]. Beside what `docker build .` does, it says of which commit the
# image is, and puts the bill of materials into it, as /app/sbom.cdx.json.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

[[ -z $(git status --porcelain) ]] || { echo 'There are changes without a commit: commit them first.' >&2 && exit 1; }
deploy/sbom.sh sbom.cdx.json
trap 'rm -f sbom.cdx.json' EXIT
docker build --tag "${1:-atlas-gateway}" --label org.cyclonedx.bom=/app/sbom.cdx.json \
    --build-arg "REVISION=$(git rev-parse HEAD)" --build-arg "CREATED=$(git log -1 --format=%cI)" .
