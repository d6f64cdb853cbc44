"""What a play is, and the attacks: shared by AgentDojo's suites and by recorded ones."""

from dataclasses import dataclass

SUITES = ("banking", "slack", "workspace", "travel")
NO_ATTACK = "none"
OF_AGENTDOJO = ("important_instructions", "ignore_previous", "tool_knowledge")
OF_OURS = ("sender_note", "todo_line")
ATTACKS = (*OF_AGENTDOJO, *OF_OURS, NO_ATTACK)


@dataclass(frozen=True)
class Play:
    """A user's task with an injection task in what its tools return, or with none."""

    suite: str
    attack: str
    user_task: str
    injection_task: str | None = None

    @property
    def name(self) -> str:
        """Such as `banking/todo_line/user_task_0/injection_task_4`."""
        return "/".join(filter(None, (self.suite, self.attack, self.user_task, self.injection_task)))
