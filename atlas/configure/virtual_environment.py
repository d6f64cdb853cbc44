"""Makes `.venv` and installs into it: `python atlas/configure/virtual_environment.py FILE [OPTION of pip]`.

Any Python from 3.10 on runs it before a package is there, so it imports the standard library alone.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(".venv")


def make() -> None:
    """Make `.venv` unless there is one with pip, of the Python that PYTHON names if it names one."""
    if is_usable():
        return
    if is_in_use():
        raise SystemExit(
            "The gateway runs in .venv, which has to be made again: stop it first with ./setup.sh stop."
        )
    print(f"Making .venv with Python {sys.version.split()[0]}.", flush=True)
    base = getattr(sys, "_base_executable", sys.executable)  # not that of the .venv which is cleared
    subprocess.run([base, "-m", "venv", "--clear", str(FOLDER)], check=True)


def is_usable() -> bool:
    """Whether `.venv` has pip, and is of the Python that was asked for."""
    if (
        not (FOLDER / "bin" / "python").exists()
        or run("-m", "pip", "--version", capture_output=True).returncode
    ):
        return False
    said = run("-c", "import sys; print(sys.version, end='')", capture_output=True, text=True).stdout
    return "PYTHON" not in os.environ or said == sys.version


def is_in_use() -> bool:
    """Whether the process in the pid file is alive."""
    try:
        os.kill(int(Path(".gateway.pid").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def install(file: str, options: list[str]) -> None:
    """Install what a file lists, when a list of packages has changed since the last time."""
    lists = "".join(path.read_text() for path in sorted(Path().glob("requirements*.txt")))
    stamp = FOLDER / f"installed-{file}"
    if stamp.exists() and stamp.read_text() == lists:
        return
    print(f"Installing {file} into .venv; this takes a minute or two.", flush=True)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if run(*pip, *options, "--requirement", file).returncode:
        raise SystemExit("The packages could not be installed; the lines above say why.")
    stamp.write_text(lists)


def run(*words: str, **how: Any) -> subprocess.CompletedProcess[Any]:
    """Run the Python of `.venv`."""
    return subprocess.run([str(FOLDER / "bin" / "python"), *words], **how)


if __name__ == "__main__":
    make()
    install(sys.argv[1], sys.argv[2:])
