"""Lets clients of the tests read one certificate: all that a machine trusts take 30 ms of CPU for each.

Almost all of them speak plain HTTP, and no server of the tests is vouched for by an authority of the machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi

NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
END = "-----END CERTIFICATE-----\n"

_of_the_machine = {name: os.environ[name] for name in NAMES if name in os.environ}


@contextmanager
def one_certificate(directory: Path) -> Iterator[None]:
    """Have httpx and httpx2 read a file with one authority instead of what the environment names."""
    file = directory / "authority-of-the-tests.pem"
    file.write_text(certifi.contents().partition(END)[0] + END)
    os.environ[NAMES[0]] = str(file)
    os.environ.pop(NAMES[1], None)
    try:
        yield
    finally:
        del os.environ[NAMES[0]]
        os.environ.update(_of_the_machine)


def whole_environment() -> dict[str, str]:
    """The environment with the authorities of the machine, for programs that download."""
    without = {name: value for name, value in os.environ.items() if name not in NAMES}
    return without | _of_the_machine
