"""The gateway, with a tool modify_welfare_record that takes any text in any field, for attacks by text."""

from typing import Any

from fastmcp import FastMCP

from atlas import welfare

add_welfare_tools = welfare.add_welfare_tools


def add_free_tools(server: FastMCP, office: welfare.WelfareOffice) -> None:
    """Offer the office's tools, one of them without a check of its fields."""
    add_welfare_tools(server, office)
    server.local_provider.remove_tool("modify_welfare_record")

    @server.tool
    async def modify_welfare_record(beneficiary_id: str, changes: dict[str, Any]) -> str:
        """Change the benefit, its amount or its status for a beneficiary."""
        return await office.change(beneficiary_id, f"modified: {changes}", lambda record: "changed")


if __name__ == "__main__":
    welfare.add_welfare_tools = add_free_tools
    from atlas.operate.serving import serve
    from gateway import app, settings

    serve(app, settings, app.state.banner)
