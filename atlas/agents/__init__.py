"""The edge for agents: who they are, the MCP server, held calls, and every way an outcome reaches them.

No decision about a call is made here: the stages of the path do that.
"""
