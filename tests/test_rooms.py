"""The rooms of the code: imports point one way, and the map in CONTRIBUTING.md says what stands there."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[1]
ROOMS = sorted(
    path.parent.name for path in (ROOT / "atlas").glob("*/__init__.py") if path.parent.name != "settings"
)
PATH = {f"atlas.{name}" for name in ("admit", "assess", "decide", "execute", "report", "path")}
STORE = {f"atlas.database.{name}" for name in ("sqlite.files", "sqlite.transactions", "writer")}
TAKEN_ALONG = {"atlas.canonical", "atlas.instants", *STORE}
SETTINGS = sorted(f"settings/{path.stem}" for path in (ROOT / "atlas" / "settings").glob("*.py"))
SHARED = (
    "frozen",
    "review_rules",
    "traces",
    "models",
    "errors",
    *SETTINGS,
    "instants",
    "canonical",
    "texts",
    "proxies",
)


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("atlas"):
            yield from (
                [node.module or ""] if node.module != "atlas" else [f"atlas.{a.name}" for a in node.names]
            )
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("atlas"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_does_not_import_the_path(room: str) -> None:
    """What the stages need lives in rooms; what a room needs never lives in a stage."""
    files = (ROOT / "atlas" / room).rglob("*.py")
    assert not {(path.name, name) for path in files for name in imported(path) if name in PATH}


def test_the_engine_imports_nothing_of_governance() -> None:
    """It could stand in a repository of its own, with what it takes along."""
    files = (ROOT / "atlas" / "engine").rglob("*.py")
    others = {name for path in files for name in imported(path) if not name.startswith("atlas.engine")}
    assert {name for name in others if not name.startswith("atlas.door.")} <= TAKEN_ALONG


def test_the_door_imports_nothing_of_ours() -> None:
    """The gateway and the engine both stand behind it."""
    files = (ROOT / "atlas" / "door").rglob("*.py")
    assert {name for path in files for name in imported(path) if not name.startswith("atlas.door")} == set()


@pytest.mark.parametrize("name", SHARED)
def test_what_all_share_imports_no_room(name: str) -> None:
    """The nouns stand below everything."""
    rooms = {f"atlas.{room}" for room in ROOMS}
    found = set(imported(ROOT / "atlas" / f"{name}.py"))
    assert not {module for module in found if ".".join(module.split(".")[:2]) in rooms}


def test_the_map_of_rooms_says_what_the_rooms_say_of_themselves() -> None:
    """Each room once, with the first sentence of its docstring."""
    lines = re.findall(r"^\| `atlas/(\w+)/` \| ([^|]+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert [name for name, _ in lines] == ROOMS
    for name, said in lines:
        text = ast.get_docstring(ast.parse((ROOT / "atlas" / name / "__init__.py").read_text())) or ""
        assert said.strip() == text.partition("\n\n")[0].replace("\n", " ")


def test_the_builder_of_the_gateway_stays_short() -> None:
    """It builds and does nothing else: at most 120 lines and 15 imports of ours."""
    text = (ROOT / "gateway.py").read_text()
    assert len(text.splitlines()) <= 120
    assert len(re.findall(r"^(?:from|import) (?:atlas|workflows)\b", text, re.M)) <= 15


def test_an_instant_is_read_in_one_place() -> None:
    """Python 3.10 does not read the Z at its end, so that what reads it by itself fails there alone."""
    reading = re.compile(r"(?<!date\.)\bdatetime\.fromisoformat\(")
    files = [path for path in (ROOT / "atlas").rglob("*.py") if reading.search(path.read_text())]
    assert {path.name for path in files} == {"instants.py", "times.py", "command.py"}


def test_no_code_needs_a_newer_python_than_3_10() -> None:
    """On whichever Python the tests run, what only newer ones have is found by its name.

    What mypy reads it reads as Python 3.10, and finds more; it runs beside the tests.
    """
    read_by_mypy = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert read_by_mypy["python_version"] == "3.10" and "atlas" in read_by_mypy["files"]
    others = {path.name for path in ROOT.glob("*.py")} - set(read_by_mypy["files"])
    code = [ROOT / name for name in ("tests", "benchmarks", *others)]
    vermin = str(Path(sys.executable).with_name("vermin"))
    options = (
        "--quiet",
        "--target=3.10-",
        "--no-tips",
        "--eval-annotations",
        "--violations",
        "--processes=1",
    )
    command = [vermin, *options, "--exclude-regex=tests/acceptance/frameworks", *map(str, code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout
