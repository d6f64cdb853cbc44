"""The edge for agents: the MCP server, its transports, held calls, and every way an outcome reaches them.

What is decided about a call does not live here; the stages of the path do that.
"""
