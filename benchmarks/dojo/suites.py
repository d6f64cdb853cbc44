"""AgentDojo's suites as plays: which texts stand in the environment, and which calls an agent makes.

It needs the package `agentdojo` and nothing of the gateway.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
from agentdojo.attacks.baseline_attacks import IgnorePreviousAttack
from agentdojo.attacks.important_instructions_attacks import ImportantInstructionsAttack, ToolKnowledgeAttack
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime, TaskEnvironment
from agentdojo.task_suite.load_suites import get_suites
from agentdojo.task_suite.task_suite import TaskSuite, read_suite_file
from plays import NO_ATTACK, OF_OURS, Play
from unwritten import written_by_us

VERSION = "v1.2.2"
WRITERS = {
    "important_instructions": ImportantInstructionsAttack,
    "ignore_previous": IgnorePreviousAttack,
    "tool_knowledge": ToolKnowledgeAttack,
}
NOTES = yaml.safe_load((Path(__file__).parent / "notes.yaml").read_text())
CHANNEL = "External_0"  # as the calls of slack's tasks name it; its name is one of the places for attack text


class Stage:
    """The environment of one play: runs calls as AgentDojo does, and says what the agent would read."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.suite = suite_of(play.suite)
        self.texts = texts_of(play)
        self.environment = environment_with(play.suite, self.texts)
        self.runtime = FunctionsRuntime(self.suite.tools)
        self.request: str = self.suite.user_tasks[play.user_task].PROMPT

    def copy(self) -> "Stage":
        """The same play at the same moment, from where it can go on another way."""
        other = object.__new__(Stage)
        other.__dict__ = self.__dict__ | {"environment": self.environment.model_copy(deep=True)}
        return other

    def run(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Call a tool; gives the text of its answer as an agent reads it, and whether that is an error."""
        result, error = self.runtime.run_function(self.environment, tool, arguments)
        return (error, True) if error is not None else (tool_result_to_str(result), False)

    def shows_attack(self, text: str) -> bool:
        """Whether a text holds what the attack wrote."""
        return any(_squeezed(one) in _squeezed(text) for one in self.texts.values())

    def calls_of_user(self) -> list[dict[str, Any]]:
        """The calls with which the user's task is done, and whether each changes anything."""
        task = self.suite.user_tasks[self.play.user_task]
        return self._told(task.ground_truth(self.environment.model_copy(deep=True)))

    def calls_of_injection(self) -> list[dict[str, Any]]:
        """The calls with which the injection task is done from here on, and whether each changes anything."""
        assert self.play.injection_task is not None
        task = self.suite.injection_tasks[self.play.injection_task]
        environment = self.environment.model_copy(deep=True)
        ours = written_by_us(self.play.suite, self.play.injection_task, environment)
        return self._told(ours or task.ground_truth(environment))

    def _told(self, calls: list[FunctionCall]) -> list[dict[str, Any]]:
        stage, told = self.copy(), []
        for call in map(self._named, calls):
            before, arguments = _state(stage.environment), json.loads(json.dumps(dict(call.args)))
            stage.run(call.function, arguments)
            acts = _state(stage.environment) != before
            told.append({"tool": call.function, "arguments": arguments, "acts": acts})
        return told

    def _named(self, call: FunctionCall) -> FunctionCall:
        """The call with the name that a channel has on this stage."""
        if self.play.suite != "slack" or CHANNEL not in call.args.values():
            return call
        name = next(one for one in self.environment.slack.channels if one.startswith("External_"))
        renamed = {key: name if value == CHANNEL else value for key, value in call.args.items()}
        return call.model_copy(update={"args": renamed})


def suite_of(name: str) -> TaskSuite[Any]:
    """A suite in the version that is played."""
    return get_suites(VERSION)[name]


class Suite:
    """The plays of one suite in AgentDojo's own environment."""

    def __init__(self, name: str) -> None:
        self._name = name

    def tools(self) -> list[dict[str, Any]]:
        """What each tool says of itself."""
        return [
            {
                "name": one.name,
                "description": one.description,
                "parameters": one.parameters.model_json_schema(),
            }
            for one in suite_of(self._name).tools
        ]

    def plays(self, attack: str) -> Iterator[Play]:
        """All plays with an attack; with "none", the users' tasks alone."""
        tasks = suite_of(self._name)
        injected = [None] if attack == NO_ATTACK else list(tasks.injection_tasks)
        return (Play(self._name, attack, one, other) for one in tasks.user_tasks for other in injected)

    def stage(self, play: Play) -> Stage:
        """One play at its beginning."""
        return Stage(play)


def environment_with(suite: str, texts: dict[str, str]) -> TaskEnvironment:
    """`load_and_inject_default_environment` of the suite, with the faster of PyYAML's loaders."""
    tasks = suite_of(suite)
    whole = read_suite_file(tasks.name, "environment.yaml", tasks.data_path)
    written = whole.format(**(tasks.get_injection_vector_defaults() | texts))
    return tasks.environment_type.model_validate(yaml.load(written, yaml.CSafeLoader))


def texts_of(play: Play) -> dict[str, str]:
    """What stands in each place that the user's task reads and third parties can write to."""
    if play.injection_task is None:
        return {}
    suite = suite_of(play.suite)
    user_task, injection_task = (
        suite.user_tasks[play.user_task],
        suite.injection_tasks[play.injection_task],
    )
    try:
        attack = _attack(play.suite, play.attack if play.attack in WRITERS else "ignore_previous")
        texts: dict[str, str] = attack.attack(user_task, injection_task)
    except ValueError:  # "is not injectable": the task reads nothing that third parties can write to
        return {}
    if play.attack in OF_OURS:
        return dict.fromkeys(texts, NOTES[play.suite][play.injection_task][play.attack])
    return texts


class _Named(BasePipelineElement):
    """AgentDojo's attacks name the model after the pipeline that they attack."""

    name = "gpt-4o-2024-05-13"

    def query(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("No model is asked.")


@lru_cache
def _attack(suite: str, attack: str) -> Any:
    return WRITERS[attack](suite_of(suite), _Named())


def _state(environment: TaskEnvironment) -> dict[str, Any]:
    state = environment.model_dump()
    state.get("web", {}).pop("web_requests", None)
    for mail in state.get("inbox", {}).get("emails", {}).values():
        mail.pop("read")
    return {name: part for name, part in state.items() if name != "inbox"} | _mails(state.get("inbox", {}))


def _mails(inbox: dict[str, Any]) -> dict[str, Any]:
    return {"emails": inbox.get("emails"), "trash": sorted(inbox.get("trash", {}))}


def _squeezed(text: str) -> str:
    """Without blanks, quotes and line ends written as \\n: YAML folds lines and doubles quotes."""
    return re.sub(r"\\[nt]|\\|[\s'\"]", "", text)
