"""The gateway with a few more tools, which talk to their agent while they run and note that they ran."""

import asyncio
from pathlib import Path

from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from serving_gateway import serve_with_tools

from atlas import welfare

RAN = Path("ran.txt")  # in the directory of the gateway, one line a run
RELEASE = Path("release")  # what talk_on waits for
QUESTION = ElicitRequest(
    params=ElicitRequestFormParams(
        message="Which desk?",
        requested_schema={"type": "object", "properties": {"desk": {"type": "string"}}},
    )
)
add_welfare_tools = welfare.add_welfare_tools


def note(line: str) -> None:
    """Remember that a tool ran."""
    with RAN.open("a") as file:
        file.write(f"{line}\n")


def add_talking_tools(server: FastMCP, office: welfare.WelfareOffice) -> None:
    """Offer the office's tools, and these."""
    add_welfare_tools(server, office)
    add_watched_resource(server)

    @server.tool
    async def talk(word: str, context: Context) -> str:
        """Say something while it runs."""
        await context.report_progress(0, 2, f"begin {word}")
        await context.info(f"hear {word}")
        await context.report_progress(2, 2, f"end {word}")
        note(word)
        return f"said {word}"

    @server.tool
    async def headers(word: str) -> str:
        """Say which headers of a request can be seen."""
        return f"{word} {get_http_headers(include_all=True)}"

    @server.tool
    async def talk_on(word: str, context: Context) -> str:
        """Go on talking until released, also when no one is there."""
        times = 0
        note("begun")
        while not RELEASE.exists():  # noqa: ASYNC240  (a test's tool may block for that long)
            times += 1
            await context.report_progress(times, message=word)
            await context.info(word)
            await asyncio.sleep(0.01)
        await context.report_progress(times + 1, message=word)
        note(word)
        return f"talked on {word}"

    @server.tool
    async def ask(word: str, context: Context) -> str:
        """Ask the agent's user for a name."""
        answer = await context.elicit(f"Your name, {word}?", str)
        note(word)
        return f"{word} is {getattr(answer, 'data', answer.action)}"

    @server.tool
    async def ask_again(word: str, context: Context) -> str | InputRequiredResult:
        """Ask for a desk, and go on when the call comes again with the answer."""
        if context.input_responses is None:
            return InputRequiredResult(input_requests={"desk": QUESTION}, request_state=f"asked {word}")
        note(f"{word}: {context.input_responses['desk'].content}")  # type: ignore[union-attr]
        return f"{word} at {context.input_responses['desk'].content} after {context.request_state}"  # type: ignore[union-attr]


def add_watched_resource(server: FastMCP) -> None:
    """Offer a resource that is not the gateway's own."""

    @server.resource("test://watched")
    async def watched() -> str:
        """A text."""
        return "watched"


if __name__ == "__main__":
    serve_with_tools(add_talking_tools)
