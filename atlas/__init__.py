"""ATLAS Governance Gateway: holds an AI agent's tool calls until a policy or a person has decided."""

__version__ = "0.1.0"
