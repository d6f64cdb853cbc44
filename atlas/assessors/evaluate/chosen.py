"""The assessors that can be evaluated: the policy, the general rules, or a model from the settings."""

from importlib import import_module
from pathlib import Path
from typing import Any

from atlas.assessors import Assessor, Question
from atlas.assessors.general import score_generally
from atlas.assessors.policy import Policy
from atlas.settings import Settings

NAMES = ("policy", "general", "openai", "modal")


class GeneralRules:
    """The general rules alone, for tools that no rule of a policy names."""

    name = "general rules"
    model: str | None = None
    prompt_version: str | None = None

    async def judge(self, question: Question) -> dict[str, Any]:
        """ModelAnswer with the score of the rules."""
        general = score_generally(question)
        return _answer(general.score, general.classification, question, "; ".join(general.reasons))

    async def close(self) -> None:
        """There is nothing to give back."""


class PolicyAlone:
    """What a policy file says where no model is asked, which is the shipped default."""

    model: str | None = None
    prompt_version: str | None = None

    def __init__(self, path: Path, *, threshold: int) -> None:
        """Read the file; raises PolicyInvalid."""
        self._policy = Policy(path, threshold=threshold)
        self.name = f"policy {path.name}"

    async def judge(self, question: Question) -> dict[str, Any]:
        """ModelAnswer with the score of the ruling, which is never below its floor."""
        ruling = await self._policy.rule(question)
        return _answer(ruling.score, ruling.classification, question, ruling.rationale)

    async def close(self) -> None:
        """There is nothing to give back."""


def choose(name: str, *, policy: Path | None, threshold: int) -> Assessor:
    """The assessor of that name; models are configured as for the gateway, in `.env`."""
    if name == "general":
        return GeneralRules()
    if name == "policy":
        default: Path = Settings.model_fields["atlas_policy"].default
        return PolicyAlone(policy or default, threshold=threshold)
    # Only here, as it brings the clients of the models.
    assessor: Assessor = import_module("atlas.assessors.choose").build_assessor(
        Settings.read(atlas_assessor=name)
    )
    return assessor


def _answer(score: int, classification: str, question: Question, rationale: str) -> dict[str, Any]:
    return {
        "risk_score": score,
        "classification": classification[:200],
        "action": question.tool.name[:200],
        "rationale": rationale[:4000],
    }
