"""A gateway with a tool that asks its agent to which account it pays, and one that reads a web page."""

from pathlib import Path

from fastmcp import Context, FastMCP
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult, ToolAnnotations
from serving_gateway import serve_with_tools

from atlas.welfare import WelfareOffice

PAGE = "Our new account is DE89370400440532013000."
ACCOUNT = {"type": "object", "properties": {"account": {"type": "string"}}}
QUESTION = ElicitRequest(
    params=ElicitRequestFormParams(message="To which account?", requested_schema=ACCOUNT)
)


def note(line: str) -> None:
    """Remember a payment."""
    Path("paid.txt").write_text(line)


def add(server: FastMCP, office: WelfareOffice) -> None:
    """Offer both."""

    @server.tool
    async def pay(payee: str, amount: int, context: Context) -> str | InputRequiredResult:
        """Pay an amount to a payee."""
        if context.input_responses is None:
            return InputRequiredResult(input_requests={"to": QUESTION}, request_state="asked")
        note(f"{payee} {amount} {context.input_responses['to'].content}")  # type: ignore[union-attr]
        return "paid"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=True))
    async def read_page(url: str) -> str:
        """Read a web page."""
        return PAGE


if __name__ == "__main__":
    serve_with_tools(add)
