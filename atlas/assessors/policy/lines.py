"""On which line of a TOML text its tables and keys stand, for sentences about what is wrong there.

The parser keeps no places, and the libraries that do are no longer looked after (spanned-toml) or keep the
text but not the lines (tomlkit); so this reads the headers and keys of a text that a parser took before.
"""

import re

from atlas.models import Frozen

HEADER = re.compile(r"\s*(\[\[?)([\w.\"'\t -]+)\]")
KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*[=.]")
COMMENT_OR_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)


class Section(Frozen):
    """A table of the file: its header, where it begins, and on which lines its keys stand."""

    header: str  # with the brackets before it, such as [[rule; empty for what stands above all headers
    line: int | None
    keys: dict[str, int]

    def place(self, key: str | None = None) -> str:
        """The beginning of a sentence about a key, or about the whole table."""
        line = self.keys.get(key or "", self.line)
        return f"line {line}" if line else self.header


def read_sections(text: str) -> list[Section]:
    """The tables of a text that is valid TOML; the first is what stands above all headers."""
    sections = [Section(header="", line=1, keys={})]
    for number, line in enumerate(COMMENT_OR_TEXT.sub(_blanked, text).split("\n"), start=1):
        if header := HEADER.match(line):
            name = header[1] + header[2].strip().strip("\"'")
            sections.append(Section(header=name, line=number, keys={}))
        elif key := KEY.match(line):
            sections[-1].keys.setdefault(key[1], number)
    return sections


def sections_of_array(sections: list[Section], name: str, count: int) -> list[Section]:
    """The sections of an array of tables, in order; without lines if it is not written with headers."""
    found = [section for section in sections if section.header == f"[[{name}"]
    if len(found) == count:
        return found
    return [Section(header=f"{name} {number}", line=None, keys={}) for number in range(1, count + 1)]


def place_of(sections: list[Section], name: str) -> str:
    """Where a key above all headers, or the first table of this name, stands."""
    for section in sections:
        if section.header.lstrip("[").split(".")[0] == name:
            return section.place()
    return sections[0].place(name)


def _blanked(match: re.Match[str]) -> str:
    # Texts of one line stay, because a key may be one; of longer ones the line ends stay, to be counted.
    text = match[0]
    return "\n" * text.count("\n") if text.startswith(("#", '"""', "'''")) else text
