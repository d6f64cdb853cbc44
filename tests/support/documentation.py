"""The pages of the documentation, with their blocks, tables, links and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block, its language, and the comment on the line before it.

    The comment says how the block is tested: `prints: TEXT`, `checked: NAME`, `file: NAME`, `printed` (by the
    block before it), or `not run: REASON`. In what is printed, … stands for anything, and `nothing` for
    nothing.
    """

    line: int
    language: str
    note: str
    text: str

    def noted(self, kind: str) -> str | None:
        """What the comment says after `kind: `."""
        found = re.fullmatch(rf"{kind}(?:: (.*))?", self.note)
        return found and (found[1] or "")

    @property
    def is_run(self) -> bool:
        """Whether it is a block for a terminal, without a reason not to run it."""
        return self.language == "bash" and not self.is_excused

    @property
    def is_excused(self) -> bool:
        """Whether it says why it cannot be run."""
        return len(self.noted("not run") or "") > 20


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """As it is written."""
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """Its text without the blocks."""
        return FENCED.sub("", self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        """All its fenced blocks."""
        return [
            Block(self.text.count("\n", 0, found.start()) + 1, *(found[part] or "" for part in (2, 1, 3)))
            for found in FENCED.finditer(self.text)
        ]

    def runs(self) -> Iterator[tuple[Block, str]]:
        """Each block to run, with what it has to print."""
        for block, after in zip(self.blocks, [*self.blocks[1:], None], strict=False):
            if block.is_run:
                sample = after.text if after is not None and after.note == "printed" else ""
                yield block, "\n".join(filter(None, (block.noted("prints"), sample)))

    def table(self, first_cell: str) -> list[list[str]]:
        """The rows of the first table whose heading begins so, without the heading."""
        return self.tables(first_cell)[0]

    def tables(self, first_cell: str) -> list[list[list[str]]]:
        """The rows of each table whose heading begins so."""
        found = self.text.split(f"\n| {first_cell} |")[1:]
        assert found, f"{self.name} has no table that begins with {first_cell!r}"
        lines = [text.split("\n\n", 1)[0].splitlines()[2:] for text in found]
        return [[[cell.strip() for cell in line.strip("|").split("|")] for line in each] for each in lines]

    @cached_property
    def links(self) -> list[tuple[Path, str]]:
        """File and anchor of each link to a file of the repository."""
        targets = re.findall(r"\]\((?!https?://)([^)\s]+)\)", self.prose)
        pairs = [target.partition("#")[::2] for target in targets]
        return [
            ((self.path.parent / file).resolve() if file else self.path, anchor) for file, anchor in pairs
        ]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link to one of its headings ends with, as GitHub makes it."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = [Page(ROOT / "README.md"), Page(ROOT / "CONTRIBUTING.md")]
PAGES += [Page(path) for path in sorted((ROOT / "docs").rglob("*.md"))]


def page(name: str) -> Page:
    """The page at a path of the repository."""
    [found] = [one for one in PAGES if one.name == name]
    return found


def checked(name: str) -> str:
    """The text of the one block that says `checked: name`."""
    [text] = [block.text for one in PAGES for block in one.blocks if block.noted("checked") == name]
    return text


def files() -> dict[str, str]:
    """The files that a reader is told to save, by name."""
    named = [(block.noted("file"), block.text) for one in PAGES for block in one.blocks]
    return {name: text for name, text in named if name}


def quoted(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)
