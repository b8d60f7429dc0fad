"""Text of people in Markdown, where it means nothing but itself."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["code_block", "listed", "plain", "table"]

_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~<>&$@]|^[-+#=]|:(?=[/\w])|(?<=\bwww)\.)")
_NUMBERED: Final = re.compile(r"^(\d+)([.)])(?= |$)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST: Final = 200
_FENCE: Final = 3


def plain(text: str) -> str:
    """Text in one line, in which no character formats, links or begins an element.

    Args:
        text: class names, paths; lone surrogates may be in it. The end of a very long one is left out.
    """
    line = " ".join(_CONTROL.sub("\ufffd", text).split())
    cut = f"{line[:_LONGEST]}…" if len(line) > _LONGEST else line
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", cut))


def code_block(lines: Iterable[str], language: str) -> str:
    """A block of code that its own text cannot end."""
    text = "\n".join(_CONTROL.sub("\ufffd", line) for line in lines)
    fence = "`" * max(_FENCE, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers.

    Args:
        head: Markdown.
        rows: Markdown.
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listed(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
