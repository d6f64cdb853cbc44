"""Lets clients of the tests read one certificate: all that a machine trusts take 30 ms of CPU for each.

Almost all of them speak plain HTTP, and no server of the tests is vouched for by an authority of the machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certifi

NAME = "SSL_CERT_FILE"
END = "-----END CERTIFICATE-----\n"
FILE = "authority-of-the-tests.pem"


@contextmanager
def one_certificate(directory: Path) -> Iterator[None]:
    """Have httpx and httpx2 read a file with one authority, unless the environment names another file."""
    if NAME in os.environ:
        yield
        return
    file = directory / FILE
    file.write_text(certifi.contents().partition(END)[0] + END)
    os.environ[NAME] = str(file)
    try:
        yield
    finally:
        del os.environ[NAME]


def whole_environment() -> dict[str, str]:
    """The environment without that file, for programs that download."""
    return {name: value for name, value in os.environ.items() if name != NAME or Path(value).name != FILE}
