"""A server with mails, notes and payments. What it returns and what it did stands in a folder.

It is a program, which is told its folder, or is reached over HTTP, with its folder in NOTES.
"""

import os
import sys
from pathlib import Path

from fastmcp import Context, FastMCP

FOLDER = Path(os.environ.get("NOTES", sys.argv[1]))
server = FastMCP("Mail and files")


@server.tool
def read_email(name: str) -> str:
    """Read one mail of the inbox."""
    return (FOLDER / "mails" / name).read_text()


@server.tool
async def open_email(name: str, context: Context) -> str:
    """Open one mail of the inbox, and ask what is to become of it."""
    await context.elicit((FOLDER / "mails" / name).read_text(), response_type=str)
    return "It is open."


@server.tool
def list_rooms(floor: int) -> str:
    """List the meeting rooms of a floor of the house."""
    return f"Floor {floor}: Ada, Emmy and Grace."


@server.tool
def write_note(name: str, text: str) -> str:
    """Keep a note for later."""
    (FOLDER / "notes" / name).write_text(text)
    return f"Kept the note {name}."


@server.tool
def read_note(name: str) -> str:
    """Give back a note that was kept."""
    return (FOLDER / "notes" / name).read_text()


@server.tool
def send_money(recipient: str, amount: float, bank: str = "") -> str:
    """Send money to an account."""
    with (FOLDER / "sent").open("a") as sent:
        sent.write(f"{recipient} {bank} {amount}\n")
    return "Sent."


if __name__ == "__main__":
    if sys.argv[1] == "http":
        from upstream_serving import serve

        serve(server, "http", int(sys.argv[2]))
    else:
        server.run(show_banner=False)
