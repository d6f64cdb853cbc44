"""What an image gets is listed with hashes; the list and the bill of materials are complete."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documentation import ROOT
from one_certificate import whole_environment
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from registry import settings_for_uv

from atlas import __version__

LOCK = "requirements.lock"
OF_THE_IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux"}
Package = tuple[str, str, str]


def packages(lock: str) -> dict[Package, list[str]]:
    """The name, the version and the condition of each package of a list, with its hashes."""
    entries = re.findall(r"^(\S+)==(\S+)(?: ; (.*?))? \\\n((?:    --hash=\S+(?: \\)?\n)+)", lock, re.M)
    return {(name, version, marker): hashes.split() for name, version, marker, hashes in entries}


def asked_for() -> list[Requirement]:
    """What requirements.txt names."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def script(name: str, *words: str, folder: Path = ROOT) -> None:
    """Run a script of deploy/ with the Python of the tests."""
    environment = settings_for_uv() | whole_environment() | {"PYTHON": sys.executable}
    done = subprocess.run(
        [folder / "deploy" / name, *words], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_package_of_the_list_is_pinned_with_hashes_and_from_no_place_by_name() -> None:
    """Pip refuses a list in which one has no hash; an address of an index would be that of one machine."""
    lock = (ROOT / LOCK).read_text()
    names = re.findall(r"^[^\s#].*", lock, re.M)
    found = packages(lock)
    assert len(names) == len(found) > 100
    for hashes in found.values():
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes if one != "\\")
    assert "://" not in lock and "index-url" not in lock


def test_the_list_has_each_requirement_in_its_version() -> None:
    """Of requirements.txt; one that was changed there alone is not what an image gets."""
    found = {(canonicalize_name(name), version) for name, version, _ in packages((ROOT / LOCK).read_text())}
    wanted = {(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in asked_for()}
    assert wanted <= found, f"run deploy/lock.sh: {wanted - found}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the list can be written again."""
    (tmp_path / "deploy").mkdir()
    for name in ("deploy/lock.sh", LOCK, "requirements.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_list_is_the_one_that_the_command_writes(checkout: Path) -> None:
    """Also of what the packages need themselves; where it is not, the command has to run."""
    script("lock.sh", folder=checkout)
    assert packages((checkout / LOCK).read_text()).keys() == packages((ROOT / LOCK).read_text()).keys(), (
        "requirements.lock is stale: run deploy/lock.sh"
    )


def test_the_command_follows_a_change_and_leaves_the_rest_alone(checkout: Path) -> None:
    """A package less: what it alone needs goes with it, and no other version moves."""
    path = checkout / "requirements.txt"
    path.write_text(re.sub("^apprise==.*\n", "", path.read_text(), flags=re.M))
    script("lock.sh", folder=checkout)
    before, after = packages((ROOT / LOCK).read_text()), packages((checkout / LOCK).read_text())
    assert after.keys() < before.keys()
    assert {"apprise", "requests-oauthlib"} <= {name for name, *_ in before.keys() - after.keys()}


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bill of materials that the command writes."""
    output = tmp_path_factory.mktemp("bill") / "sbom.cdx.json"
    script("sbom.sh", str(output), "--no-validate")  # the check of its own output takes a minute
    content: dict[str, Any] = json.loads(output.read_text())
    return content


def test_the_bill_of_materials_lists_each_package_of_the_image(bill: dict[str, Any]) -> None:
    """Those of the list that count for its Python, in the same versions, and no other."""
    here = dict(default_environment()) | OF_THE_IMAGE
    listed = {
        (canonicalize_name(name), version)
        for name, version, marker in packages((ROOT / LOCK).read_text())
        if not marker or Requirement(f"{name} ; {marker}").marker.evaluate(here)  # type: ignore[union-attr]
    }
    billed = {(canonicalize_name(one["name"]), one["version"]) for one in bill["components"]}
    assert billed == listed


def test_the_bill_of_materials_says_whose_it_is_and_what_needs_what(bill: dict[str, Any]) -> None:
    """The gateway in its version stands on top of what it asks for."""
    top = bill["metadata"]["component"]
    assert (bill["bomFormat"], top["name"], top["version"]) == ("CycloneDX", "atlas-gateway", __version__)
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    direct = {canonicalize_name(ref.partition("==")[0]) for ref in needs[top["bom-ref"]]}
    here = dict(default_environment()) | OF_THE_IMAGE
    wanted = {
        canonicalize_name(one.name) for one in asked_for() if not one.marker or one.marker.evaluate(here)
    }
    assert direct == wanted
    assert all(one.get("licenses") for one in bill["components"] if one["name"] in ("fastapi", "fastmcp"))


def test_an_image_gets_what_the_list_names_and_says_what_it_is() -> None:
    """The labels are those of the Open Container Initiative; the version is the gateway's."""
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes --requirement requirements.lock" in text
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', text))
    assert labels["version"] == __version__
    assert labels.keys() == {"title", "description", "version", "base.name", "revision", "created"}
    filled_in = {name: value for name, value in labels.items() if value.startswith("${")}
    assert filled_in == {"base.name": "${BASE}", "revision": "${REVISION}", "created": "${CREATED}"}
    for argument in re.findall(r"--build-arg \"(\w+)=", (ROOT / "deploy/image.sh").read_text()):
        assert re.search(rf"^ARG {argument}=$", text, re.M)
