"""The settings of the ways in for people: an OpenID provider, a trusted proxy, and who owns which agent."""

from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from atlas.models import as_seen, plain_text


def listed(value: Any) -> Any:
    """Read `desk,seniors`: texts with commas between."""
    if not isinstance(value, str):
        return value
    return tuple(entry.strip() for entry in value.split(",") if entry.strip())


def owned(value: Any) -> Any:
    """Read `billing-bot:anna,importer:ben`: an agent and a person who owns it, with commas between."""
    if not isinstance(value, str):
        return value
    pairs = [entry.rpartition(":") for entry in listed(value)]
    owners = tuple((agent.strip(), person.strip()) for agent, _, person in pairs)
    if not all(agent and person and plain_text(person) == person for agent, person in owners):
        raise ValueError("It is agent:person, with commas between, as billing-bot:anna,importer:ben.")
    return owners


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)]
Owners = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(owned)]


class WaysIn(BaseSettings):
    """What an operator can set of how people come in, and of what they may not decide."""

    atlas_agent_owners: Owners = Field(
        default=(),
        description="Who owns which agent, as `billing-bot:anna,importer:ben`. A person cannot approve calls "
        "of an agent of theirs. Only a name that is checked can approve calls of an agent that has an owner.",
    )

    @cached_property
    def owners_of_agents(self) -> dict[str, frozenset[str]]:
        """The owners of each agent that has any, as their names are seen."""
        owners: dict[str, frozenset[str]] = {}
        for agent, person in self.atlas_agent_owners:
            owners[agent] = owners.get(agent, frozenset()) | {as_seen(person)}
        return owners

    def check_owners(self, agents: Collection[str], *, is_open: bool) -> None:
        """Raise ValueError if an agent that has an owner is none of ours."""
        if self.atlas_agent_owners and is_open:
            raise ValueError(
                "ATLAS_AGENT_OWNERS is set without ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY: where no keys are "
                "set, no one can tell agents and persons apart; set both keys"
            )
        for agent in self.owners_of_agents:
            if agent not in agents:
                raise ValueError(
                    f"ATLAS_AGENT_OWNERS names {plain_text(agent)}, which is no agent of ATLAS_AGENT_KEY"
                )
