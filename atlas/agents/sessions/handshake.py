"""What a client says of itself when it opens a session, and how it is said again on its behalf."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Handshake(BaseModel):
    """What client and gateway agreed on: the version, and what the client is and can do, as it wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol_version: str
    client_info: dict[str, Any]
    capabilities: dict[str, Any]

    def as_request(self) -> bytes:
        """The `initialize` request that leads to the same agreement."""
        params = {
            "protocolVersion": self.protocol_version,
            "clientInfo": self.client_info,
            "capabilities": self.capabilities,
        }
        return json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()


def read_handshake(request: bytes, answer: bytes) -> Handshake | None:
    """What was agreed on, or None if nothing was: something else was asked, or the answer is an error."""
    try:
        params, result = json.loads(request)["params"], json.loads(_message_in(answer))["result"]
        return Handshake(
            protocol_version=result["protocolVersion"],
            client_info=params["clientInfo"],
            capabilities=params["capabilities"],
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _message_in(answer: bytes) -> bytes:
    """The first message of a stream of events, or the whole answer if it is no stream."""
    for line in answer.splitlines():
        if line.startswith(b"data:"):
            return line.removeprefix(b"data:")
    return answer
