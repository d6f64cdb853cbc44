"""Chooses, in one place, what judges calls beside the policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import NamedTuple

from atlas.assessors import Assessor
from atlas.assessors.guard import Guard
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.assessors.policy.reloading import reloading_on_hangup
from atlas.assessors.policy.shared import SharedPolicy
from atlas.database.database import Database
from atlas.errors import AssessorInvalid
from atlas.people.records.named import members_of_groups, names_of_reviewers
from atlas.settings import Settings
from atlas.settings.models import AssessorKind

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_MODEL = "gpt-6-luna"
OLLAMA_MODEL = "llama3.2"


class Judges(NamedTuple):
    """The policy, which rules on every call, and the model that is asked as well, if one is configured."""

    policy: PolicyInForce
    model: Guard | None

    @asynccontextmanager
    async def open(self, database: Database) -> AsyncIterator[None]:
        """While this is entered a SIGHUP has the policy read again; at the end the model is left.

        Where gateways share the store, the policy is the one that is in force there; raises PolicyInvalid.
        """
        shared = (
            SharedPolicy(self.policy, database).followed() if database.kind != "sqlite" else nullcontext()
        )
        try:
            async with shared, reloading_on_hangup(self.policy):
                yield
        finally:
            if self.model is not None:
                await self.model.close()


def build_judges(settings: Settings) -> Judges:
    """What judges calls, as the settings say."""
    assessor = build_assessor(settings)
    policy = PolicyInForce(
        settings.atlas_policy,
        threshold=settings.atlas_risk_threshold,
        reviewers=lambda: names_of_reviewers(settings),
        members=lambda: members_of_groups(settings),
    )
    seconds, sees_session = settings.atlas_assess_seconds, settings.atlas_model_sees_session
    model = Guard(assessor, seconds=seconds, sees_session=sees_session) if assessor else None
    return Judges(policy, model)


def build_assessor(settings: Settings) -> Assessor | None:
    """The model that the settings ask for; None where the policy judges alone.

    The libraries of an assessor are imported only if it is used: Modal's SDK alone costs half a second.
    Raises AssessorInvalid where a setting has a form that cannot be right.
    """
    try:
        if settings.assessor_kind is AssessorKind.MODAL:
            return _modal(settings)
        return _openai(settings) if settings.assessor_kind is AssessorKind.OPENAI else None
    except ValueError as error:
        raise AssessorInvalid(reason=error) from error


def _modal(settings: Settings) -> Assessor:
    from atlas.assessors.modal_function import ModalFunction

    assert settings.modal_token_id and settings.modal_token_secret  # noqa: S101  (checked by Settings)
    return ModalFunction(
        function_name=settings.modal_function_name,
        token_id=settings.modal_token_id.get_secret_value(),
        token_secret=settings.modal_token_secret.get_secret_value(),
        environment=settings.modal_environment,
    )


def _openai(settings: Settings) -> Assessor:
    from atlas.assessors.openai_compatible import OpenAICompatible, ollama_base_url

    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    if settings.ollama_host and not key and not settings.openai_base_url:
        model = settings.openai_model or OLLAMA_MODEL
        url = ollama_base_url(settings.ollama_host)
        return OpenAICompatible(base_url=url, api_key=None, model=model, name=f"ollama {model}")
    model = settings.openai_model or OPENAI_MODEL
    url = settings.openai_base_url or OPENAI_URL
    return OpenAICompatible(base_url=url, api_key=key, model=model, name=f"openai {model}")
