"""Markdown from Jinja2 templates. All text in the values of a template is escaped."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_SPECIAL: Final = re.compile(r"([\\`*_\[\]|~<>&$@]|^[-+#=]|:(?=[/\w])|(?<=\bwww)\.)")
_NUMBERED: Final = re.compile(r"^(\d+)([.)])(?= |$)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def render_markdown(template: Path, **values: object) -> str:
    """Fill a template with ``values``, whose text is escaped by :func:`plain`."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: plain(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": code, "listed": _listed, "number": _number, "plain": plain, "verbatim": _verbatim}
    environment.globals["table"] = _table
    return environment.get_template(template.name).render(values)


def plain(text: str, longest: int = 200) -> Markup:
    """Put text on one line, and escape its formatting and links. Markup is unchanged.

    Args:
        text: class names, paths. May contain lone surrogates.
        longest: maximum number of characters.
    """
    if isinstance(text, Markup):
        return text
    line = " ".join(_CONTROL.sub("\ufffd", text).split())
    cut = f"{line[:longest]}…" if len(line) > longest else line
    return Markup(_NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", cut)))  # noqa: S704 - it is escaped


def _verbatim(text: str) -> Markup:
    return Markup(_CONTROL.sub("\ufffd", text))  # noqa: S704 - one line cannot end a block


def code(text: str) -> Markup:
    """Format a trusted name as code, without escapes."""
    return Markup(f"`{text}`")  # noqa: S704 - no backticks in the name


def _listed(names: Sequence[str], most: int = 100) -> Markup:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return Markup(", ").join(map(plain, names[:most])) + more


def _number(value: float | None, form: str = ",") -> Markup:
    return Markup("–" if value is None else format(value, form))  # noqa: S704 - a number


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = [map(plain, head), map(Markup, rule), *(map(plain, row) for row in rows)]
    return Markup("\n").join(Markup("| {} |").format(Markup(" | ").join(line)) for line in lines)
