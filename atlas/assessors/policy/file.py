"""The policy file: read and checked as a whole before any call, every mistake named with its line."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import tomli
from pydantic import Field, ValidationError

from atlas.assessors.policy.groups import too_small
from atlas.assessors.policy.keys import OF_REVIEW, WANTED, WANTED_ABOVE
from atlas.assessors.policy.lines import Section, place_of, read_sections, sections_of_array
from atlas.assessors.policy.rules import (
    NEVER_GOVERNED,
    DeskTable,
    Rule,
    RuleTable,
)
from atlas.errors import PolicyInvalid
from atlas.models import Frozen
from atlas.review_rules import group_of, has_groups
from atlas.texts import TextUnreadable, text_of

UNKNOWN_TOOLS = ("person", "general")
SHARE_OF_NONE = "seeded_share takes cases from [[seeded]] tables, and there is none"
ABOVE_RULES = ("unknown_tools", *WANTED_ABOVE)
ANNOTATIONS_ARE_GONE = (
    'the table [annotations] is not used any more; unknown_tools = "person" or "general" says what happens '
    "to tools that no rule names"
)
LARGEST_BYTES = 1_000_000
# The conditions of the shipped policy, by SHA-256. A test compiles them, so that a start does not have to: it
# would take a quarter of a second and 11 MB. Each is compiled at the first call that it is about; a condition
# that is not among these is compiled when its file is read.
CHECKED = frozenset(
    (
        "3333ab0a0abe4914ea3781c7652239704428476e3bd3632be03156a55345680e",
        "a627366d240e6399475ee4babaad8bf831f5f8ac3b3fd7d7d83c5e0c04c34e67",
        "a7db731cc1a97031992f3236d746b6673c2c6efc1368119147afae8d70191649",
        "aa0c4c9496ea15611728dab0792289ad58e9e34ad1b0a3c80ee47f0f713331b9",
        "aaf5023ec4ccdb3130e0244b9e1ffca3d833f498c30dc1cf181a6b2b15c82482",
        "f3aff11ee7d8fa162eb2cffdd141d2772de5f22f520eaa3cbccac84d72ce01f6",
    )
)
NOT_BESIDE_DENY = (
    *("definition", "score", "floor", "reviewers", "approvals", "review_timeout", "trust"),
    *OF_REVIEW,
)


class PolicyFile(Frozen):
    """The content of a policy file that can be used."""

    path: Path
    content: bytes = Field(repr=False)
    sha256: str  # 64 hex digits, of its bytes
    unknown_tools: Literal["person", "general"]
    desk: DeskTable
    rules: tuple[Rule, ...]

    def too_small(self, members: Mapping[str, Collection[str]]) -> tuple[str, ...]:
        """What to say of groups that no one belongs to now, or too few; groups can come from elsewhere."""
        return tuple(warning for rule in self.rules for warning in too_small(rule, members))

    def check_reviewers(self, names: Collection[str]) -> None:
        """Raise PolicyInvalid if a rule asks for a reviewer who is not there, or for more than there are."""
        mistakes = [mistake for rule in self.rules for mistake in _without_reviewers(rule, set(names))]
        if mistakes:
            raise PolicyInvalid(path=self.path, reason=f"{'; '.join(mistakes)}.")


def read_policy(path: Path) -> PolicyFile:
    """Read a policy file; raises PolicyInvalid with every mistake that was found, and its line."""
    try:
        content = _read(path)
    except OSError as error:
        raise PolicyInvalid(path=path, reason=f"{error.strerror or 'it cannot be read'}.") from error
    return policy_of(content, path)


def policy_of(content: bytes, path: Path) -> PolicyFile:
    """The policy that a file of this content is; raises PolicyInvalid, which names the path, as above."""
    if len(content) > LARGEST_BYTES:
        raise PolicyInvalid(path=path, reason="it is larger than 1 MB, which no policy needs to be.")
    try:
        text = text_of(content)
        tables = tomli.loads(f"{text}\n")  # whose errors name the last line only if it ends
    except TextUnreadable as error:
        raise PolicyInvalid(path=path, reason=f"{error}.") from error
    except (ValueError, RecursionError) as error:
        raise PolicyInvalid(path=path, reason=f"it is not TOML: {str(error).rstrip('.')}.") from error
    rules, mistakes = _check(tables, read_sections(text))
    if mistakes:
        raise PolicyInvalid(path=path, reason=f"{'; '.join(mistakes)}.")
    return PolicyFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        unknown_tools=tables.get("unknown_tools", "person"),
        desk=DeskTable(**_of_desk(tables)),
        rules=tuple(rules),
    )


def _read(path: Path) -> bytes:
    """The bytes of a regular file; raises OSError or PolicyInvalid, and never waits.

    What was opened is what is looked at, since another file can take its place under the same name.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PolicyInvalid(path=path, reason="it is no regular file, but a pipe or a device.")
        return file.read(LARGEST_BYTES + 1)


def _open_at_once(name: str, flags: int) -> int:
    """Open without waiting for a writer of a pipe, and without taking over a terminal."""
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _check(tables: dict[str, Any], sections: list[Section]) -> tuple[list[Rule], list[str]]:
    mistakes = list(_mistakes_above(tables, sections))
    entries = tables.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        sentence = "a rule begins with [[rule]], in two pairs of brackets"
        return [], [*mistakes, f"{place_of(sections, 'rule')}: {sentence}"]
    rules: list[Rule] = []
    names: set[str] = set()
    for entry, section in zip(entries, sections_of_array(sections, "rule", len(entries)), strict=True):
        found = list(_wrong_values(entry))
        if not found:
            rules.append(Rule(**entry, line=section.line))
            found = [*_senseless(rules[-1], names), *_wrong_condition(rules[-1])]
            names.add(rules[-1].name or "")
        mistakes += [f"{section.place(key)}: {reason}" for key, reason in found]
    return rules, [*mistakes, *_contradictions(rules)]


def _mistakes_above(tables: dict[str, Any], sections: list[Section]) -> Iterator[str]:
    if not tables:
        yield "it is empty; write at least one [[rule]]"
    for key in tables.keys() - {"unknown_tools", "rule", *WANTED_ABOVE}:
        reason = f'a policy knows {", ".join(ABOVE_RULES)} and [[rule]], not "{key}"'
        yield f"{place_of(sections, key)}: {ANNOTATIONS_ARE_GONE if key == 'annotations' else reason}"
    if tables.get("unknown_tools", "person") not in UNKNOWN_TOOLS:
        yield f'{place_of(sections, "unknown_tools")}: unknown_tools must be "person" or "general"'
    for key in _wrong_for_desk(_of_desk(tables)):
        yield f"{place_of(sections, key)}: {key} must be {WANTED_ABOVE[key]}"
    if tables.get("seeded_share") and not tables.get("seeded"):
        yield f"{place_of(sections, 'seeded_share')}: {SHARE_OF_NONE}"


def _of_desk(tables: dict[str, Any]) -> dict[str, Any]:
    return {key: tables[key] for key in WANTED_ABOVE if key in tables}


def _wrong_for_desk(said: dict[str, Any]) -> Iterator[str]:
    try:
        reasons = DeskTable.model_validate(said).reject_reasons
    except ValidationError as error:
        yield from dict.fromkeys(str(item["loc"][0]) for item in error.errors())
        return
    if len(set(reasons)) < len(reasons):
        yield "reject_reasons"


def _wrong_values(entry: dict[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Each wrong key of a rule with what is wrong; None for the rule as a whole."""
    try:
        RuleTable.model_validate(entry)
    except ValidationError as error:
        for key in dict.fromkeys(str(item["loc"][0]) for item in error.errors()):
            yield (key if key in entry else None), _wrong_value(key, is_there=key in entry)


def _wrong_value(key: str, *, is_there: bool) -> str:
    if key in ABOVE_RULES:
        return f"{key} is about the whole file and stands above the first [[rule]]"
    if key not in WANTED:
        return f'a rule knows no "{key}"; it knows {", ".join(WANTED)}'
    return f"{key} must be {WANTED[key]}" if is_there else f"this rule has no {key}: {WANTED[key]}"


def _senseless(rule: Rule, names: set[str]) -> Iterator[tuple[str | None, str]]:
    """What is wrong with a rule as a whole, after others with these names."""
    if rule.name and rule.name in names:
        yield "name", f'another rule is named "{rule.name}" too'
    if (why := NEVER_GOVERNED.get(rule.tool)) is not None:
        yield "tool", f"{rule.tool} needs no rule: {why}"
    if not rule.gives:
        yield None, "this rule gives nothing, such as a score, a floor or a legal_basis"
    beside = [key for key in NOT_BESIDE_DENY if rule.deny and getattr(rule, key) is not None]
    if beside:
        yield (
            beside[0],
            f"{beside[0]} has no effect beside deny: what is denied is neither scored nor reviewed",
        )
    if rule.trust and rule.when is not None:
        yield "trust", "trust is for all calls of a tool: put it into a rule without when"
    steps = [step.after for step in rule.escalate or ()]
    if steps != sorted(set(steps)):
        yield "escalate", "each step of escalate comes later than the one before"
    if rule.definition and not rule.names_one_tool:
        yield "definition", "a definition is that of one tool, and this rule is about several"
    named = len(set(rule.reviewers or ()))
    if rule.reviewers and not has_groups(rule.reviewers) and (rule.approvals or 1) > named:
        yield (
            "approvals",
            f"{rule.approvals} approvals are more than the {named} reviewers named here can give",
        )


def _wrong_condition(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.when is None or condition_sha256(rule.when) in CHECKED:
        return
    from atlas.assessors.policy.conditions import ConditionInvalid

    try:
        _ = rule.condition
    except ConditionInvalid as error:
        yield "when", f"the condition {error}"


def condition_sha256(when: str) -> str:
    """How a condition is known; the name of its rule and what the rule gives change nothing."""
    return hashlib.sha256(when.encode()).hexdigest()


def _contradictions(rules: list[Rule]) -> Iterator[str]:
    """Each rule whose reviewers are fewer than the approvals that another one asks for on the same tool."""
    several = [rule for rule in rules if (rule.approvals or 1) > 1]
    for place, limited in enumerate(rules):
        names = 0 if has_groups(limited.reviewers or ()) else len(set(limited.reviewers or ()))
        for asking in several if names else ():
            is_enough = names >= (asking.approvals or 1) or not asking.can_meet(limited)
            if is_enough or limited is asking:  # what one rule asks for is looked at where it stands
                continue
            if not any(_stands_in(above, asking, limited) for above in rules[:place]):
                yield _contradiction(asking, limited, names)
                break


def _contradiction(asking: Rule, limited: Rule, names: int) -> str:
    asks = f'the rule "{asking.title}" asks for {asking.approvals} approvals'
    has = f'the rule "{limited.title}" names {names} reviewer{"" if names == 1 else "s"}'
    advice = "give the first its own reviewers, and put it above the second"
    return f"{asks}, and {has}: no one could approve a call that both are about; {advice}"


def _stands_in(above: Rule, asking: Rule, limited: Rule) -> bool:
    """Whether a rule's reviewers come before those of the limited one for all calls of the asking one."""
    is_for_all = above.when is None and (above.fits(asking.tool) or above.fits(limited.tool))
    return above.reviewers is not None and (above is asking or is_for_all)


def _without_reviewers(rule: Rule, names: set[str]) -> Iterator[str]:
    unknown = [name for name in rule.reviewers or () if name not in names and group_of(name) is None]
    if unknown:
        yield f"the rule {rule.title} asks for {', '.join(unknown)}, and there is no such reviewer"
    if (rule.approvals or 1) > max(1, len(names)):  # one key without a name is one reviewer
        asks = f"the rule {rule.title} asks for {rule.approvals} approvals"
        yield f"{asks}, and keys and accounts name {len(names)} reviewer{'' if len(names) == 1 else 's'}"
