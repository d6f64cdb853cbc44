"""deploy/up.sh, with a stand-in for docker that notes what it is asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gateway_process import ROOT, WAIT_SECONDS

# The first container is where it ends: what follows needs an engine.
DOCKER = """#!/bin/sh
echo "$@" >>"$NOTES"
[ "$1" != run ]
"""


@pytest.mark.parametrize(
    ("line", "variables", "image"),
    [
        ("", {}, "atlas-gateway"),
        ("GATEWAY_IMAGE=", {}, "atlas-gateway"),
        ("GATEWAY_IMAGE=registry.example.com/atlas:7", {}, "registry.example.com/atlas:7"),
        ("GATEWAY_IMAGE='registry.example.com/atlas:7'", {}, "registry.example.com/atlas:7"),
        ('GATEWAY_IMAGE="registry.example.com/atlas:7" # ours', {}, "registry.example.com/atlas:7"),
        ("GATEWAY_IMAGE=first\nGATEWAY_IMAGE=second", {}, "second"),
        ("GATEWAY_IMAGE=of-the-file", {"GATEWAY_IMAGE": "of-the-shell"}, "of-the-shell"),
    ],
)
def test_the_image_that_is_built_is_the_one_that_compose_starts(
    tmp_path: Path, line: str, variables: dict[str, str], image: str
) -> None:
    """Right: both take it from the same place. Wrong: one image is built, and an older one is started."""
    deploy, notes = tmp_path / "deploy", tmp_path / "notes"
    deploy.mkdir()
    shutil.copy(ROOT / "deploy" / "up.sh", deploy)
    (deploy / ".env").write_text(f"SITE=gateway.example.com\n{line}\n")
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(notes)} | variables
    subprocess.run([deploy / "up.sh"], env=environment, capture_output=True, timeout=WAIT_SECONDS)
    _, built, ran = notes.read_text().splitlines()
    assert built == f"build --tag {image} .."
    assert f" {image} python -m atlas.configure several " in ran


def test_a_first_start_needs_no_file(tmp_path: Path) -> None:
    """Where nothing was written yet, the usual image is built."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "up.sh", tmp_path / "deploy")
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NOTES": str(tmp_path / "notes")}
    subprocess.run([tmp_path / "deploy" / "up.sh", "x"], env=environment, capture_output=True, timeout=60)
    assert "build --tag atlas-gateway .." in (tmp_path / "notes").read_text()
