"""Whether what a tool answers comes from third parties: mail, web pages, tickets, files that others write."""

from atlas.assessors import ToolFacts
from atlas.assessors.general.reading import words

OUTSIDE = frozenset(
    (
        "mail",
        "email",
        "inbox",
        "web",
        "page",
        "url",
        "website",
        "ticket",
        "issue",
        "file",
        "message",
        "channel",
    )
)


def is_outside(tool: ToolFacts) -> bool:
    """The careful default for a tool about which neither the servers file nor the policy says anything."""
    return tool.is_open_world is True or bool(OUTSIDE.intersection(words(tool.name)))
