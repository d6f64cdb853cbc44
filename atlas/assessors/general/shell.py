"""What a command line would do: only look, change something, or do harm."""

import re

from atlas.assessors.general.words import HARMFUL_COMMANDS, HARMFUL_MARKS, LOOKING_COMMANDS

PARTS = re.compile(r"[;&|\n]+")
PROGRAM = re.compile(r"[\w.+-]+")


def is_harmful(command: str) -> bool:
    """Whether a command can destroy, fetch and run, or change who may do what."""
    lowered = command.lower()
    programs = {word for part in PARTS.split(lowered) for word in PROGRAM.findall(part)[:3]}
    return bool(programs & HARMFUL_COMMANDS) or any(mark in lowered for mark in HARMFUL_MARKS)


def only_looks(command: str) -> bool:
    """Whether every part of a command is known to change nothing; what is not understood is not."""
    if is_harmful(command) or any(mark in command for mark in (">", "`", "$(", "<(")):
        return False
    parts = [PROGRAM.findall(part.lower()) for part in PARTS.split(command) if part.strip()]
    return bool(parts) and all(part and part[0] in LOOKING_COMMANDS for part in parts)
