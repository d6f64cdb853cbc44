#!/usr/bin/env bash
# Writes requirements.lock again: each package that runs, its version, and the hashes of its files, for Python 3.10 to
# 3.13. What requirements.txt does not change keeps its version; `deploy/lock.sh --upgrade` takes the newest of the rest.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

exec "${PYTHON:-.venv/bin/python}" -m uv pip compile requirements.txt --output-file requirements.lock --quiet \
    --universal --python-version 3.10 --generate-hashes --custom-compile-command deploy/lock.sh "$@"
