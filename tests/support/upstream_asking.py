"""A program that speaks MCP by hand and asks its client something long after the call that it is about."""

import json
import os
import sys
from pathlib import Path
from typing import Any

QUESTION = {
    "jsonrpc": "2.0",
    "id": "question",
    "method": "elicitation/create",
    "params": {"message": "Which colour?", "requestedSchema": {"type": "object", "properties": {}}},
}
RESULTS: dict[str, Any] = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "resources": {}},
        "serverInfo": {"name": "asking", "version": "1"},
    },
    "tools/list": {
        "tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("start", "hold", "known")]
    },
    "resources/list": {"resources": [{"uri": "asking://one", "name": "one"}]},
}


def note(text: str) -> None:
    """Leave a line in the file NOTES."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


def send(message: dict[str, Any]) -> None:
    """Write one message."""
    print(json.dumps({"jsonrpc": "2.0"} | message), flush=True)


def text(words: str) -> dict[str, Any]:
    """The result of a tool."""
    return {"content": [{"type": "text", "text": words}]}


class Program:
    """`start` is never answered; `hold` and a read are, when the question is; a list may ask it."""

    def __init__(self) -> None:
        self.was_started = False
        self.held: Any = None
        self.read: Any = None

    def take(self, message: dict[str, Any]) -> None:
        """Take one message."""
        method, message_id = message.get("method"), message.get("id")
        if message_id == "question":
            self.answered("the agent was asked" if "result" in message else "no one was asked")
        elif method == "tools/call":
            self.called(message["params"]["name"], message_id)
        elif method == "resources/read":
            self.read = message_id
            send(QUESTION)
        elif method in RESULTS:
            send({"id": message_id, "result": RESULTS[method]})
            if method == "tools/list" and self.was_started and self.held is not None:
                send(QUESTION)
        elif message_id is not None:
            send({"id": message_id, "error": {"code": -32601, "message": "Method not found"}})

    def called(self, name: str, message_id: Any) -> None:
        """A tool was called."""
        if name == "known":
            send({"id": message_id, "result": text("started before" if self.was_started else "new")})
        elif name == "hold":
            self.held = message_id
        else:
            self.was_started = True
        note(name)

    def answered(self, words: str) -> None:
        """Answer the one who waits."""
        if self.read is not None:
            contents = [{"uri": "asking://one", "text": words}]
            send({"id": self.read, "result": {"contents": contents}})
        if self.held is not None:
            send({"id": self.held, "result": text(words)})
        self.read = self.held = None


if __name__ == "__main__":
    program = Program()
    for line in sys.stdin:
        program.take(json.loads(line))
