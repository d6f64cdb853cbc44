"""Ports for servers of the tests that come back at the same address."""

import itertools
import os
import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # on Linux: what port 0 and connections are given
FIRST, LAST = 10_081, 32_767  # Chromium opens no page at 10080
WORKERS = 16  # of pytest, each of which has ports of its own


def _ports() -> "itertools.cycle[int]":
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    last = min(LAST, int(RANGE.read_text().split()[0]) - 1) if RANGE.exists() else LAST
    ports = range(FIRST + worker, last, WORKERS)
    first = random.SystemRandom().randrange(len(ports))  # another run beside this one begins elsewhere
    return itertools.cycle([*ports[first:], *ports[:first]])


_of_this_process = _ports()


def kept_port() -> int:
    """A free port that the system gives to no other socket while its server is away.

    A server that needs no second start at its address binds port 0 instead.
    """
    for port in _of_this_process:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("ports never end")
