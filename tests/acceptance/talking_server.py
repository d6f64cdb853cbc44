"""A server whose tools talk to their agent while they run: they report, ask the user and ask the model."""

import asyncio
import os
from pathlib import Path

from fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

server = FastMCP("Talking")


@server.tool
async def talk(word: str, context: Context) -> str:
    """Report progress, ask the user for a colour and the model for a city, and say who answered."""
    note(word)
    await context.report_progress(1, 2, f"begin {word}")
    answer = await context.elicit("Which colour?", response_type=str)
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Which city?"))
    said = await context.session.create_message([asked], max_tokens=10, related_request_id=context.request_id)
    await context.report_progress(2, 2, f"end {word}")
    return f"{word}: {getattr(answer, 'data', answer.action)} {getattr(said.content, 'text', '')}"


@server.tool
async def wait(word: str) -> str:
    """Answer when a file is there."""
    note(word)
    release = Path(os.environ["NOTES"]).with_name("release")
    try:
        while not release.exists():  # noqa: ASYNC110  (a test's tool may block for that long)
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        note(f"stopped {word}")
        raise
    return f"waited {word}"


def note(word: str) -> None:
    """Leave a line: the tool was called."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{word}\n")


if __name__ == "__main__":
    server.run(show_banner=False)
