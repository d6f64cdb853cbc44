"""What the engine could not do in the background: told once, and known until it can be done again."""

import logging

logger = logging.getLogger(__name__)

LOOK, END, FORGET = "look for work", "end what is due", "forget what has ended"


class Troubles:
    """The tasks of the engine that fail at the moment, each with its sentence."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def begin(self, task: str, error: Exception) -> None:
        """Remember that a task failed, and log it unless it failed in the same way before."""
        sentence = f"The engine can't {task}: {type(error).__name__}: {error}"
        if self._known.get(task) != sentence:
            logger.error("%s. It is tried again.", sentence, exc_info=error)
        self._known[task] = sentence

    def end(self, task: str) -> None:
        """The task went well."""
        if self._known.pop(task, None) is not None:
            logger.warning("The engine can %s again.", task)

    @property
    def first(self) -> str | None:
        """One of them, or None."""
        return next(iter(self._known.values()), None)
