"""An MCP server by hand, for what stands in a host's file: it tells its arguments and its environment.

It stands under the name of a command (npx, docker, uvx) on the PATH of a gateway, and notes each start.
"""

import json
import os
import sys
from typing import Any

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("seen", "write", "remove")]


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    match message["method"]:
        case "initialize":
            version = message["params"]["protocolVersion"]
            server = {"name": "by hand", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            told = {"args": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
            return {"content": [{"type": "text", "text": json.dumps(told)}]}
    return {}


def main() -> None:
    """Note the start, and answer until the input ends."""
    with open(f"{sys.argv[0]}.starts", "a") as notes:
        notes.write(json.dumps(sys.argv[1:]) + "\n")
    sys.stdout.buffer.write(b"\xef\xbb\xbf")  # as the console of .NET
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        said: dict[str, Any] = {"result": answer(message)}
        if message["method"] not in ("initialize", "tools/list", "tools/call", "ping"):
            said = {"error": {"code": -32601, "message": "Method not found"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | said), flush=True)


if __name__ == "__main__":
    main()
