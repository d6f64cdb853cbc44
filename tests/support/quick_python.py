"""Stands in for `python` where tests type commands: `quick_python.py DOOR BEGUN PYTHON TYPED WORDS`.

A command of the gateway runs in a process that the warm one forks. The first of its kind, and all else, the
real Python begins.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OF_A_CHECKOUT = ("atlas.configure-start", "atlas.configure-stop")  # look for the gateway beside themselves
FORKED_SCRIPTS = ("test_handshake.py", f"{ROOT}/gateway.py")


def is_forked(begun: Path, words: list[str]) -> bool:
    """Whether it is a package, or a script, of the gateway, and the real Python has begun it once."""
    if words[:1] == ["-m"] and (ROOT / words[1].replace(".", "/") / "__main__.py").exists():
        kind = "-".join(words[1:3] if words[1] == "atlas.configure" else words[1:2])
        if kind in OF_A_CHECKOUT:
            return False
    elif words and words[0] in FORKED_SCRIPTS:
        kind = Path(words[0]).name
    else:
        return False
    try:
        Path(begun, kind).mkdir(parents=True)
    except FileExistsError:
        return True
    return False


def ask(door: Path, words: list[str]) -> int:
    """Have it forked, hand it signals, and return its status when it has ended."""
    os.umask(umask := os.umask(0))
    order = {"words": words, "directory": os.getcwd(), "environment": dict(os.environ), "umask": umask}
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(door))
        text = json.dumps(order).encode() + b"\n"
        sent = socket.send_fds(asking, [text], [0, 1, 2])
        asking.sendall(text[sent:])
        with asking.makefile() as told:
            pid = int(told.readline().split()[1])
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _: os.kill(pid, number))
            return int(told.readline().split()[2])


def main() -> None:
    """End as the command ends."""
    door, begun, python, typed, *words = sys.argv[1:]
    if not is_forked(Path(begun), words):
        is_in_its_place = Path(typed).absolute().parent == Path(python).parent  # of a virtual environment
        os.execv(python, [typed if is_in_its_place else python, *words])  # noqa: S606
    status = ask(Path(door), words)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
