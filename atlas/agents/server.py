"""The MCP server of the gateway: FastMCP, which finds a tool sooner."""

from fastmcp import FastMCP
from fastmcp.server.providers.aggregate import AggregateProvider
from fastmcp.tools import Tool
from fastmcp.utilities.components import FastMCPComponent
from fastmcp.utilities.versions import VersionSpec


class InTurn(AggregateProvider):
    """Asks its providers for a tool one after the other.

    FastMCP asks them at the same time, each in a task. The gateway's answer from memory, four times in each
    call, and the tasks took longer than the answers.
    """

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        results: list[FastMCPComponent | BaseException | None] = []
        for provider in self.providers:
            try:
                results.append(await provider.get_tool(name, version))
            except Exception as error:  # reported below, as FastMCP does it
                results.append(error)
        found = self._get_highest_version_result(results, f"get_tool({name!r})")
        return found if isinstance(found, Tool) else None


class GatewayServer(FastMCP, InTurn):
    """A FastMCP server that asks its providers in turn."""
