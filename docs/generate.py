"""Writes the pages of the documentation that are made from the code: `python docs/generate.py`.

Settings come from their descriptions in `atlas/settings*.py`, with the headings and the spelling of defaults
from `.env.example`. The engine's differences come from the docstring of `atlas/engine/__init__.py`.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
MARK = "<!-- made by docs/generate.py: what stands below is overwritten -->\n"


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


GENERATED = {
    DOCS / "reference" / "settings.md": settings_text,
    DOCS / "reference" / "engine-differences.md": differences_text,
}


def page_text(path: Path) -> str:
    """A page as it has to be: its own words down to the mark, and below it what the code says."""
    return path.read_text().partition(MARK)[0] + MARK + GENERATED[path]()


def main() -> None:
    """Write all pages."""
    for path in GENERATED:
        path.write_text(page_text(path))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
