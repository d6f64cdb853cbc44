#!/usr/bin/env bash
# Writes what the gateway is made of, as CycloneDX: deploy/sbom.sh [FILE [OPTION…]], which is sbom.cdx.json if none is
# named. Options go to cyclonedx-py; --no-validate saves most of the time.
# It puts what requirements.lock names for the Python of the image into a folder, looks at it, and removes the folder.
set -euo pipefail
python=$(realpath -s "${PYTHON:-$(dirname -- "${BASH_SOURCE[0]}")/../.venv/bin/python}")
output=$(realpath -m "${1:-$(dirname -- "${BASH_SOURCE[0]}")/../sbom.cdx.json}")
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT

# The gateway is no distribution; this says its name, its version and what it asks for.
"$python" - >"$folder/pyproject.toml" <<'PROJECT'
import json
import re
from pathlib import Path

version = re.search('__version__ = "(.+)"', Path("atlas/__init__.py").read_text())[1]
lines = (line.partition("#")[0].strip() for line in Path("requirements.txt").read_text().splitlines())
print("[project]", 'name = "atlas-gateway"', f'version = "{version}"', sep="\n")
print("dependencies =", json.dumps([line for line in lines if line]))
PROJECT

version=$(sed -n 's/^ARG BASE=python:\([0-9.]*\)-.*/\1/p' Dockerfile)
"$python" -m uv venv --quiet --python "$python" "$folder/venv"
"$python" -m uv pip install --quiet --python-version "$version" --python-platform linux --only-binary :all: \
    --target "$folder"/venv/lib/python*/site-packages --require-hashes --requirement requirements.lock
"$python" -m uv tool run --quiet --python "$python" --from cyclonedx-bom==7.5.0 \
    cyclonedx-py environment --pyproject "$folder/pyproject.toml" --output-reproducible \
    --output-file "$output" "${@:2}" "$folder/venv/bin/python"
