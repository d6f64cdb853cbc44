"""The person at the terminal who answers the questions; without one every default stands."""

import getpass
import sys


class Person:
    """Reads what is typed; a secret is not shown."""

    def __init__(self) -> None:
        self.is_there = sys.stdin.isatty()

    def tell(self, sentence: str) -> None:
        """Print a sentence for a person; without one there is no one to read it."""
        if self.is_there:
            print(sentence, flush=True)

    def hear(self, prompt: str, *, is_secret: bool) -> str:
        """What is typed behind a prompt."""
        try:
            return getpass.getpass(prompt) if is_secret else input(prompt)
        except (EOFError, KeyboardInterrupt):
            raise SystemExit("\nStopped: nothing was written.") from None

    def complain(self, name: str, sentence: str) -> None:
        """Tell a person, who is asked again; without one the command ends with the name of the setting."""
        if not self.is_there:
            raise SystemExit(f"{name} in .env: {sentence}")
        print(sentence, flush=True)
