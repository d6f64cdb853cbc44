"""What others wrote, such as the name of a server's tool, as words that no chat takes for markup.

About 180 services read a text in about ten dialects. A backslash before a sign helps in some of them, and
others show the backslash. So each sign that begins markup, a mention or a link in any of them is replaced by
its wide look-alike, for all services. A person still reads it, in a mail and an SMS too. Few names have one.
"""

import re

# Links and HTML, mentions, emphasis, code, what is struck out or hidden, headings, entities and escapes.
WIDE = {ord(sign): chr(ord(sign) + 0xFEE0) for sign in "[]<>@*`~|#&\\"}
# Not within a word, as in modify_record: there it is emphasis nowhere, and most names of tools have it.
EDGE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
LINK = re.compile(r"\w:(?=//)|\bmailto:|\btel:|\bwww\.", re.IGNORECASE)
OURS = re.compile(r"https?://\S+")  # what others wrote never begins a line, and has no break


def lines_in_plain_words(text: str) -> str:
    """A text of the gateway without markup; a line that is a link of the gateway's stays."""
    return "\n".join(line if OURS.fullmatch(line) else _in_plain_words(line) for line in text.split("\n"))


def _in_plain_words(line: str) -> str:
    unlinked = LINK.sub(lambda found: found[0][:-1] + chr(ord(found[0][-1]) + 0xFEE0), line)
    return EDGE.sub(lambda found: "\uff3f" * len(found[0]), unlinked).translate(WIDE)
