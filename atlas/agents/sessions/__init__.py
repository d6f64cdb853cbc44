"""Sessions of MCP's handshake era, 2024-11-05 to 2025-11-25, which outlive the process that opened them.

Over streamable HTTP only: a session over SSE is its stream, and 2026-07-28 has none.
"""
