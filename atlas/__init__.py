"""ATLAS Governance Gateway: holds an AI agent's tool calls until a policy or a person has decided."""

import os

__version__ = "0.1.0"

# .env has one reader, atlas/settings/reading.py. FastMCP would read it too, and fail before we can say why.
os.environ.setdefault("FASTMCP_ENV_FILE", os.devnull)
