"""The gateway as a process of its own in `.venv`: started in the background, found again by its pid file."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from atlas.configure.alive import is_gateway, status
from atlas.settings import Settings

ROOT = Path(__file__).parents[2]
PID_FILE = ROOT / ".gateway.pid"
HEALTH_SECONDS = 90.0
GRACE_SECONDS = 15.0
PAUSE_SECONDS = 0.1
LAST_LINES = 30


def start(host: str, port: int, log: Path) -> None:
    """Replace the gateway that runs; return when the new one answers, or leave with a sentence."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_gateway(host, port):
        refuse_taken_port(host, port)
    stop()
    refuse_taken_port(host, port)
    process = _spawn(log)
    end = time.monotonic() + HEALTH_SECONDS
    while status(host, port) != 200:
        if process.poll() is not None or time.monotonic() > end:
            sys.stderr.write("\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:]) + "\n")
            stop()
            raise SystemExit(
                f"The gateway did not come up; the last lines of {log} are above. No gateway runs now."
            )
        time.sleep(PAUSE_SECONDS)


def refuse_taken_port(host: str, port: int) -> None:
    """Leave with a sentence where another program listens."""
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        raise SystemExit(
            f"Port {port} is held by another program: "
            "stop that one, or set ATLAS_PORT in .env to a free port."
        )


def stop() -> bool:
    """End the gateway of this checkout as Ctrl-C would; returns whether one ran."""
    process_id = running()
    if process_id is None:
        if not command_of(_noted()):  # else it is of a gateway that was started by hand
            PID_FILE.unlink(missing_ok=True)
        return False
    end = time.monotonic() + seconds_to_end(ROOT / ".env")
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGTERM)
    while running() == process_id and time.monotonic() < end:
        time.sleep(PAUSE_SECONDS)
    if running() == process_id:
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    PID_FILE.unlink(missing_ok=True)
    print("Stopped the gateway in .venv.", flush=True)
    return True


def seconds_to_end(env_file: Path) -> float:
    """How long a gateway may take to end: what the settings give it, and some more."""
    try:
        settings = Settings.read(_env_file=env_file)
    except SystemExit:  # it was started with others
        return GRACE_SECONDS
    return (settings.atlas_drain_time + settings.atlas_stop_timeout).total_seconds() + GRACE_SECONDS


def running() -> int | None:
    """The process in the pid file, if it is the gateway and not one that got its number later."""
    process_id = _noted()
    is_gateway_here = command_of(process_id).startswith(f"{ROOT}/.venv/bin/python {ROOT}/gateway.py")
    return process_id if is_gateway_here else None


def _noted() -> int:
    """The number in the pid file, or 0, which no process has."""
    with suppress(OSError, ValueError):
        return int(PID_FILE.read_text())
    return 0


def command_of(process_id: int) -> str:
    """The command line of a process; empty where there is none."""
    proc = Path(f"/proc/{process_id}/cmdline")
    if Path("/proc/self/cmdline").exists():
        return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace") if proc.exists() else ""
    told = subprocess.run(["ps", "-o", "args=", "-p", str(process_id)], capture_output=True, text=True)  # noqa: S607
    return told.stdout


def _spawn(log: Path) -> subprocess.Popen[bytes]:
    command = [f"{ROOT}/.venv/bin/python", f"{ROOT}/gateway.py"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    PID_FILE.write_text(f"{process.pid}\n")
    return process
