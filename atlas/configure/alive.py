"""Asks the gateway of this machine or container whether it is alive: `python -m atlas.configure.alive`.

It reads the environment on its own and imports nothing of ours: a health check runs every few seconds.
"""

import http.client
import os
import sys

SECONDS = 4


def status(host: str, port: int) -> int | None:
    """The status of /healthz; None where there is no answer."""
    answer = _answer(host, port, "/healthz")
    return answer and answer[0]


def is_gateway(host: str, port: int) -> bool:
    """Whether what listens is a gateway."""
    answer = _answer(host, port, "/")
    return answer is not None and b"ATLAS Governance Gateway" in answer[1]


def _answer(host: str, port: int, path: str) -> tuple[int, bytes] | None:
    # Not by urllib: it would ask the proxy that the environment names.
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main() -> int:
    """Ask where ATLAS_HOST and ATLAS_PORT say; returns the exit status."""
    address = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = os.environ.get("ATLAS_HOST") or ""
    said = status(address.get(host, host), int(os.environ.get("ATLAS_PORT") or 8000))
    if said == 200:
        return 0
    print("The gateway does not answer." if said is None else f"The gateway answers with status {said}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
