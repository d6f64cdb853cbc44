"""Writes the pages of the documentation that are made from the code: `python docs/generate.py`.

Settings come from their descriptions in `atlas/settings/`, with the headings and the spelling of defaults
from `.env.example`. The engine's differences come from the docstring of `atlas/engine/__init__.py`.
What speaks to the agent comes from the rules in `atlas/origins/`. The keys of a policy come from
`atlas/assessors/policy/keys.py`.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MARK = "<!-- made by docs/generate.py: what stands below is overwritten -->\n"
END = "<!-- here ends what docs/generate.py made -->\n"


def settings_text() -> str:
    """A table for each part of `.env.example`."""
    from atlas.settings import Settings

    lines = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if heading := re.fullmatch(r"# ── (.+?) ─+", line):
            lines += [f"\n## {heading[1]}\n", "| setting | default | what |", "|---|---|---|"]
        elif not line.startswith("#") and "=" in line:
            name, _, default = line.partition("=")
            described = Settings.model_fields[name.lower()].description
            lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {described} |")
    return "\n".join(lines) + "\n"


def differences_text() -> str:
    """The table of the engine's docstring."""
    import atlas.engine

    rows = [line for line in (atlas.engine.__doc__ or "").splitlines() if line.startswith("|")]
    return "\n" + "\n".join(rows) + "\n"


def orders_text() -> str:
    """A row for each rule by which a text speaks to the agent."""
    from atlas.origins.hiding import HIDING
    from atlas.origins.order_rules import RULES

    said = [(rule.kind, rule.name, rule.looks_for, rule.catches, rule.leaves) for rule in RULES]
    hidden = [("hidden", rule.name, rule.looks_for, rule.catches, rule.leaves) for rule in HIDING]
    lines = ["\n| kind | rule | it looks for | it catches | it leaves |", "|---|---|---|---|---|"]
    for kind, name, looks_for, *examples in said + hidden:
        catches, leaves = (f"`{_in_a_cell(example)}`" for example in examples)
        lines.append(f"| {kind} | {name} | {looks_for} | {catches} | {leaves} |")
    return "\n".join(lines) + "\n"


def policy_text() -> str:
    """A row for each key of a policy file."""
    from atlas.assessors.policy.keys import REVIEW_KEYS, RULE_KEYS, TOP_KEYS, UNKNOWN_TOOLS

    lines = ["\n| above the rules | what |", "|---|---|"]
    lines += [f"| `{key.name}` | {key.means} |" for key in (UNKNOWN_TOOLS, *TOP_KEYS)]
    for heading, keys in (("in a rule", RULE_KEYS), ("in a rule, for the people who decide", REVIEW_KEYS)):
        lines += [f"\n| {heading} | what | if several rules give it |", "|---|---|---|"]
        lines += [f"| `{key.name}` | {key.means} | {key.together} |" for key in keys]
    return "\n".join(lines) + "\n\n"


def _in_a_cell(example: str) -> str:
    """An example with what no one sees as escapes, and long runs of blanks in short."""
    seen = example.encode("unicode_escape").decode().replace("|", "\\|").replace("`", "'")
    return re.sub(" {9,}", lambda blanks: f" ({len(blanks[0])} blanks) ", seen)


GENERATED = {
    DOCS / "reference" / "settings.md": settings_text,
    DOCS / "reference" / "engine-differences.md": differences_text,
    DOCS / "reference" / "orders.md": orders_text,
    DOCS / "reference" / "policy-file.md": policy_text,
}


def page_text(path: Path) -> str:
    """A page as it has to be: between the marks what the code says, and around them its own words."""
    before, _, after = path.read_text().partition(MARK)
    end, own = END in after, after.partition(END)[2]
    return before + MARK + GENERATED[path]() + (END + own if end else "")


def main() -> None:
    """Write all pages."""
    for path in GENERATED:
        path.write_text(page_text(path))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
