"""The keys of a policy file: what each takes, what it means, and what holds where several rules give it.

`docs/generate.py` makes the table of docs/reference/policy-file.md from these.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """One key. `wanted` follows "must be" in an error; `means` and `together` are for the documentation."""

    name: str
    wanted: str
    means: str
    together: str = ""  # what holds where several rules that count give it


FIRST = "the first in the file"
ANY = "as soon as one says so"

RULE_KEYS = (
    Key(
        "tool",
        "the name of a tool, or a pattern with * and ? and no brackets",
        "The name of the tool, as agents see it. `*` stands for any text, `?` for one character.",
    ),
    Key(
        "name",
        "a text of one line, at most 200 characters",
        "What the rule is called in the record of a decision. Without it: its tool and line.",
    ),
    Key(
        "definition",
        'the digest of a tool\'s definition, as "sha256:" and 64 hex digits',
        '`"sha256:…"`: the definition of the tool that it was [written for](#one-definition-of-a-tool).',
    ),
    Key(
        "when",
        "a CEL condition in quotes",
        "A [condition](#conditions). Without it the rule holds for all calls of the tool.",
    ),
    Key("score", "a whole number from 0 to 100", "What the call gets when no model is asked.", FIRST),
    Key("floor", "a whole number from 0 to 100", "No model can take the score below it.", "the highest"),
    Key("classification", "a text of one line, at most 200 characters", "The risk class, as text.", FIRST),
    Key("rationale", "a text of at most 2000 characters", "Why, as text for the reviewer.", FIRST),
    Key("legal_basis", "a text of one line, at most 200 characters", "As text.", FIRST),
    Key(
        "reviewers",
        'a list of names and groups, such as ["anna", "group:seniors"]',
        "Names, and groups as `group:NAME`: who may approve. Without it: every reviewer.",
        FIRST,
    ),
    Key(
        "approvals",
        "a whole number from 1 on",
        "How many different reviewers have to approve. Without it: 1.",
        "the most",
    ),
    Key(
        "review_timeout",
        'a duration in quotes, from one second to a year, such as "90s", "30m", "24h" or "3d"',
        "How long they may take. Without it: `ATLAS_REVIEW_TIMEOUT`.",
        "the shortest",
    ),
    Key(
        "deny",
        "true, because no rule can take back what another one denies",
        "`true`: the call is refused, and no person can lift that.",
        ANY,
    ),
    Key(
        "trust",
        '"outside" if what the tool answers comes from third parties, or "inside"',
        "[Whether what the tool answers comes from third parties](third-parties.md). Not beside `when`.",
        FIRST,
    ),
)

REVIEW_KEYS = (
    Key(
        "separate",
        "true: neither the agent's owner nor a person of an earlier round may approve",
        "`true`: the owner of the agent may not approve, nor a person who approved an earlier round, nor a "
        "delegate of either.",
        ANY,
    ),
    Key(
        "requires_training",
        'the scope of a training, such as "benefits"',
        "The scope of a training. A person without it, or whose training is over, may reject and may not "
        "approve.",
        "all of them",
    ),
    Key(
        "step_up",
        "true: to approve takes a passkey",
        "`true`: an approval takes a passkey with user verification, at the desk.",
        ANY,
    ),
    Key(
        "may_edit",
        'a list of arguments that a person may change, such as ["amount", "days"]',
        "The arguments that a person may change before they approve.",
        "what all of them name",
    ),
    Key(
        "undo",
        'a duration in quotes, such as "20s", for which an approval can be taken back',
        "The call begins so long after the approval. Until then the approval can be taken back.",
        "the longest",
    ),
    Key(
        "answer_time",
        'a duration in quotes, such as "4h", by which a question to the agent extends the time',
        "A question to the agent extends the time to decide by so long, once a case.",
        "the shortest",
    ),
    Key(
        "escalate",
        'a step such as {after = "2h", to = "group:seniors"}, or a list of such steps',
        "After so long without a decision these may approve too, and are told. A list has several steps.",
        FIRST,
    ),
    Key(
        "working_hours",
        "true: the times of this rule count working hours alone",
        "`true`: time to decide, reminders and escalations count the working hours of those who may approve.",
        ANY,
    ),
    Key(
        "hide_score",
        "true: the score is hidden until a first choice is made",
        "`true`: a person sees the score after a first choice.",
        ANY,
    ),
    Key(
        "reason_from",
        "a whole number from 0 to 100",
        "From this score on an approval needs a typed reason.",
        "the lowest",
    ),
    Key(
        "min_seconds",
        "a whole number of seconds from 1 to 3600",
        "An approval that comes sooner after the case was opened is asked for once more.",
        "the most",
    ),
    Key(
        "plans",
        "true: a plan may let pass what this rule gives a floor",
        "`true`: a plan that a person approved beforehand may let the call pass in spite of the floor.",
        "each rule with a floor for a person has to say so",
    ),
)

UNKNOWN_TOOLS = Key(
    "unknown_tools",
    '"person" or "general"',
    '`"person"` or `"general"`: what happens to [tools that no rule names](#tools-that-no-rule-names).',
)
TOP_KEYS = (
    Key(
        "reject_reasons",
        'a list of at most 20 different texts of one line, such as ["The wrong person"]',
        "Texts that the desk offers to a person who rejects a call. The agent reads the one that was chosen.",
    ),
    Key(
        "record_views",
        "true or false",
        "`true`: a person who sees a case is an entry of the ledger, `decide.viewed`: once for each person, "
        "case and round in ten minutes. A page that stays open is one entry for each round. "
        "Without it: `false`.",
    ),
    Key(
        "together_below",
        "a whole number from 0 to 100",
        "Alike calls with a lower score may be approved in one go. Without it: 0, so none.",
    ),
    Key(
        "seeded_share",
        "a whole number from 0 to 100",
        "So many of a hundred cases that people get are taken from `[[seeded]]`. Without it: 0.",
    ),
    Key(
        "seeded",
        "at most 200 tables [[seeded]], each with tool, arguments and why",
        "Calls that are known to be bad. No tool ever gets them.",
    ),
)

WANTED = {key.name: key.wanted for key in RULE_KEYS + REVIEW_KEYS}
WANTED_ABOVE = {key.name: key.wanted for key in TOP_KEYS}
OF_REVIEW = tuple(key.name for key in REVIEW_KEYS)  # what a rule asks of the people who decide
