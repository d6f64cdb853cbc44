"""./setup.sh as an operator runs it: at a terminal that is read and typed at, or without one."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
QUESTIONS = (
    "Modal function",
    "AI backend",
    "Inngest event key",
    "Inngest signing key",
    "Modal token id",
    "Modal token secret",
    "MCP servers file",
)


class Terminal:
    """A program at a pseudo-terminal, and a person who reads the screen and types."""

    def __init__(self, *command: str, cwd: Path, first_on_path: Path) -> None:
        self.screen = ""
        self._keyboard, program_side = pty.openpty()
        fcntl.ioctl(program_side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.program = subprocess.Popen(
            command,
            cwd=cwd,
            env=bare_environment(first_on_path),
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            start_new_session=True,
        )
        os.close(program_side)

    def wait_for(self, pattern: str) -> None:
        """Read until the screen ends with a pattern."""
        end = time.monotonic() + SECONDS
        while not re.search(pattern + r"\Z", self.screen):
            assert self._read(end), f"it ended without {pattern!r}:\n{self.screen}"

    def answer(self, question: str, text: str) -> None:
        """Wait until a question is asked, then type a line."""
        self.wait_for(re.escape(question) + r"[^\n]*: ")
        self.screen += "<typed>"
        os.write(self._keyboard, f"{text}\n".encode())

    def finish(self) -> int:
        """Read what is still printed; returns the exit status."""
        end = time.monotonic() + SECONDS
        while self._read(end):
            pass
        return self.program.wait(SECONDS)

    def close(self) -> None:
        """End the program if it still runs."""
        with suppress(ProcessLookupError):
            os.killpg(self.program.pid, signal.SIGKILL)
        self.program.wait(SECONDS)
        os.close(self._keyboard)

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"nothing more came; on the screen is:\n{self.screen}"
        try:
            text = os.read(self._keyboard, 4096)
        except OSError:  # how Linux tells that the program has closed its side
            return False
        self.screen += text.decode().replace("\r\n", "\n")
        return bool(text)


def bare_environment(*first_on_path: Path) -> dict[str, str]:
    """What a new account has: PATH and HOME."""
    path = os.pathsep.join([*map(str, first_on_path), os.environ["PATH"]])
    return {"PATH": path, "HOME": os.environ["HOME"]}


def press_enter(terminal: Terminal, *, since: str = QUESTIONS[0]) -> None:
    """Keep the default of each question from one on, to the end."""
    for question in QUESTIONS[QUESTIONS.index(since) :]:
        terminal.answer(question, "")
    assert terminal.finish() == 0


def run(
    checkout: Path, *arguments: str, first_on_path: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run ./setup.sh from another folder, without a terminal."""
    path = [first_on_path] if first_on_path else []
    return subprocess.run(
        [checkout / "setup.sh", *arguments],
        cwd="/",
        env=bare_environment(*path) | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )


def settings_in(checkout: Path) -> dict[str, str]:
    """What the gateway will read in .env."""
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
