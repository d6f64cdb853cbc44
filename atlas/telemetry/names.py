"""How spans and their attributes are called: by the GenAI and MCP conventions of OpenTelemetry, 1.45.

The conventions are in development: what they rename is renamed here, and nowhere else. What they have no name
for begins with `atlas.`.
"""

TOOLS_CALL = "tools/call"  # the MCP method, and the beginning of the name of its span
EXECUTE_TOOL = "execute_tool"  # the GenAI operation

MCP_METHOD = "mcp.method.name"
MCP_PROTOCOL_VERSION = "mcp.protocol.version"
OPERATION = "gen_ai.operation.name"
TOOL = "gen_ai.tool.name"
ARGUMENTS = "gen_ai.tool.call.arguments"
ERROR_TYPE = "error.type"
TOOL_ERROR = "tool_error"  # the tool itself answered with an error

REFERENCE = "atlas.ref"  # of the call, as agents and people know it
STAGE = "atlas.stage"
OUTCOME = "atlas.outcome"  # as the ledger has it, behind the dot
RISK_SCORE = "atlas.risk_score"
DECIDED_BY = "atlas.decided_by"  # person, score, plan, policy or time
WAITED_SECONDS = "atlas.waited_seconds"
SERVER = "atlas.server"  # behind the gateway


def span_of_call(tool_name: str) -> str:
    """The name of the span of a call, at either side of the gateway."""
    return f"{TOOLS_CALL} {tool_name}"


def span_of_execution(tool_name: str) -> str:
    """The name of the span of a tool that runs in the gateway itself."""
    return f"{EXECUTE_TOOL} {tool_name}"
