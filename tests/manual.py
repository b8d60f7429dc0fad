"""Code snippets of the README and the manual."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from hangtag.cli import make_app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4,}\S.*\n?)+", re.MULTILINE)
_BEFORE = re.compile(r"^(?:[\d*]+ ){5} *(?:cd \S+ && )?")
"""What a line of a crontab has before its command."""
_QUOTED = re.compile(r'"(hangtag [^"]+)"')
_NOTE = re.compile(r"<!-- (?P<note>[^>]+) -->\s*\Z")
APP: Any = typer.main.get_command(make_app())


@dataclass(frozen=True)
class Snippet:
    """A fenced block; ``note`` is the comment right before it, or empty.

    A block with ``not run: REASON`` is only parsed; the reason may name a test that runs it.
    """

    page: Path
    language: str
    text: str
    note: str


def snippets(page: Path) -> list[Snippet]:
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        note = _NOTE.search(text[: match.start()])
        lines = (line.removeprefix(match["indent"]) for line in match["text"].splitlines())
        found.append(Snippet(page, match["language"], "\n".join(lines), note["note"] if note else ""))
    return found


def commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        typed = _BEFORE.sub("", line.strip())
        if typed.startswith("hangtag ") and "─▶" not in typed:
            words = shlex.split(typed, comments=True)
            end = next((at for at, word in enumerate(words) if word in {"|", "||", ">", "2>>", ">>", "&&"}), len(words))
            yield words[1:end]


def page_commands(page: Path) -> list[list[str]]:
    text = page.read_text()
    fenced = snippets(page)
    blocks = [snippet.text for snippet in fenced if snippet.language == "bash"]
    blocks += [quoted for snippet in fenced if snippet.language == "python" for quoted in _QUOTED.findall(snippet.text)]
    blocks += _INDENTED.findall(_FENCE.sub("", text))
    return [words for block in blocks for words in commands(block)]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    command = APP
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def parse(words: list[str]) -> None:
    command, others = find_command(words)
    assert command is not APP, words
    command.make_context("hangtag", list(others))
