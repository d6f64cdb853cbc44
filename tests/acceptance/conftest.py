"""What the tests of ./setup.sh share: a copy of the repository, and a terminal at which it asks."""

import compileall
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nursery import nursery
from ports import kept_port
from setup_terminal import ROOT, Terminal, run


@pytest.fixture
def no_docker(tmp_path: Path) -> Path:
    """A folder for the path with a docker whose engine does not answer, so that a real one is left alone."""
    folder = tmp_path / "no docker"
    folder.mkdir()
    (folder / "docker").write_text("#!/bin/sh\nexit 1\n")
    (folder / "docker").chmod(0o755)
    return folder


COPIED = (
    *(
        "setup.sh",
        ".env.example",
        "requirements.txt",
        "requirements.lock",
        "Dockerfile",
        ".dockerignore",
        "compose.yaml",
    ),
    *("gateway.py", "workflows.py", "test_handshake.py"),
)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs, compiled once and not again by each test that copies it."""
    folder = tmp_path_factory.mktemp("compiled")
    for name in COPIED:
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(ROOT / "atlas", folder / "atlas", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(folder, quiet=1)
    return folder


@pytest.fixture
def fresh_checkout(tmp_path: Path, no_docker: Path, compiled: Path) -> Iterator[Path]:
    """A copy of the repository in a folder whose name has blanks; its gateway ends with the test."""
    folder = tmp_path / "a checkout of mine"
    shutil.copytree(compiled, folder)
    yield folder
    if (folder / ".gateway.pid").exists():
        run(folder, "stop", first_on_path=no_docker)


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the packages of the one in which the tests run."""
    folder = tmp_path_factory.mktemp("lent") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture
def checkout(fresh_checkout: Path, lent: Path) -> Path:
    """A checkout with its packages installed, so that every command takes seconds."""
    shutil.copytree(lent, fresh_checkout / ".venv", symlinks=True)
    python = fresh_checkout / ".venv" / "bin" / "python"
    real = python.rename(python.with_name("python-of-the-tests"))  # `python3` may lead to `python`
    nursery().python(python, real=real)
    stamp = fresh_checkout / ".venv" / "installed-requirements.txt"
    shutil.copy2(fresh_checkout / "requirements.txt", stamp)
    return fresh_checkout


@pytest.fixture
def open_questions(checkout: Path, no_docker: Path) -> Iterator[Callable[[], Terminal]]:
    """Have the questions asked at a terminal, as often as the test likes."""
    terminals: list[Terminal] = []

    def open_terminal() -> Terminal:
        terminals.append(Terminal("./setup.sh", "configure", cwd=checkout, first_on_path=no_docker))
        return terminals[-1]

    yield open_terminal
    for terminal in terminals:
        terminal.close()


@pytest.fixture
def terminal(open_questions: Callable[[], Terminal]) -> Terminal:
    """A terminal at which the questions are being asked."""
    return open_questions()


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    return kept_port()
