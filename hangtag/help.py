"""How help reads: commands in panels by task, options by what they are about, rare ones only if asked for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import EnumType
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

ALL: Final = "--help-all"
TASKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Start": ("demo", "doctor"),
        "Train": ("check", "train", "evaluate", "export", "verify", "benchmark", "retrain"),
        "Label": ("classify", "label", "submit", "watch", "jobs"),
        "Review": ("review", "corrections", "web"),
        "Operate": ("worker", "schedule", "models"),
    }
)
"""Task → its commands, in the order in which one comes to them."""

_ALIKE: Final = {
    "check": "labelled photos, before a training",
    "evaluate": "how often a model is right, on labelled photos",
    "verify": "whether a bundle is as it was exported, on this machine",
    "benchmark": "how fast a bundle's models are, on this machine",
}
_PANELS: Final = {
    "Input": "image-column label-column group-column where taxonomy image-root encoding allow-host allow-unsized "
    "splits fix-leaks per-host download-timeout decode-timeout",
    "Model": "model variant precision threshold top-k registry default-variant int8 edge ort fp16 vnni atol max-drop",
    "Network": "arch preset weights image-size fit decode",
    "Training": "epochs time-limit batch-size balance folds seed resume",
    "Output": "out json prefix excel-safe html plot",
    "Job": "workers restart retry-failed previous priority jobs job redis every once settle only",
}
_RARE: Final = (
    "allow-unsized atol batch-size decode default-variant download-timeout folds heartbeat log metrics-host ort "
    "per-host prefix requests-per-minute root-path seed settle decode-timeout vnni"
)
EARLIER: Final = frozenset({"--output", "--concurrency", "--timeout", "--in"})
"""Names that options had before; they are taken for a version."""
_EARLIER_COMMANDS: Final = {"beat": "schedule"}
_WATCH: Final = "--watch"
_MANY: Final = 8
"""More options than this are shown in panels."""
_WIDE: Final = 16
_TYPES: Final = {"int": "N", "float": "X", "Path": "PATH", "str": "TEXT", "bool": ""}

Command = Any
"""A Typer command, group or parameter: Typer keeps its own copy of Click, without types."""


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether a command line asks for help; one without words does."""
    return not words or "--help" in words or ALL in words


def as_now(words: Sequence[str]) -> list[str]:
    """A command line whose command has its present name; earlier ones are taken for a version.

    ``beat`` is ``schedule`` now, and ``submit --watch FOLDER`` is ``watch FOLDER``.
    """
    now = [_EARLIER_COMMANDS.get(word, word) for word in words[:1]] + list(words[1:])
    if now[:1] != ["submit"] or not any(word.partition("=")[0] == _WATCH for word in now):
        return now
    return ["watch", *(word.removeprefix(f"{_WATCH}=") for word in now[1:] if word != _WATCH)]


def arrange(group: Command, words: Sequence[str] = (), *, every: bool) -> None:
    """Arrange the help of the one command and of all below it, for a command line.

    With ``every``, rare options are shown too. An option's earlier name is shown only where it is in ``words``.
    """
    panels = {command: task for task, commands in TASKS.items() for command in commands}
    order = list(panels)
    group.commands = dict(sorted(group.commands.items(), key=lambda one: order.index(one[0])))
    for name, command in group.commands.items():
        command.rich_help_panel = panels[name]
        if name in _ALIKE:
            command.epilog = f"Which one? {_which_one()}"
    for command in _walk(group):
        _reflow(command)
        _arrange_options(command, words, every=every)


def _which_one() -> str:
    return "; ".join(f"{name}: {what}" for name, what in _ALIKE.items()) + "."


def _walk(group: Command) -> Iterator[Command]:
    yield group
    below = getattr(group, "commands", {}).values()
    yield from chain.from_iterable(map(_walk, below))


def _reflow(command: Command) -> None:
    """Let paragraphs be as wide as the terminal, but for examples, which are indented."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(
        text if text.startswith(" ") else re.sub(r"\s*\n\s*", " ", text.strip()) for text in paragraphs
    )


def _arrange_options(command: Command, words: Sequence[str], *, every: bool) -> None:
    panels = {name: panel for panel, names in _PANELS.items() for name in names.split()}
    options = {param.opts[0].removeprefix("--"): param for param in command.params if param.opts[0].startswith("--")}
    rare = _RARE.split()
    hidden = [name for name in options if name in rare and not options[name].required and not every]
    many = len(options) - len(hidden) > _MANY
    for name, param in options.items():
        param.opts = [word for word in param.opts if word not in EARLIER or word in words]
        param.hidden = param.hidden or name in hidden
        param.rich_help_panel = panels.get(name) if many else None
    for param in command.params:
        _shorten(param)
    order = [None, *_PANELS]
    command.params.sort(key=lambda param: order.index(getattr(param, "rich_help_panel", None)))
    if hidden:
        said = f"{ALL} also shows {', '.join(f'--{name}' for name in hidden)}."
        command.epilog = f"{command.epilog}\n\n{said}" if command.epilog else said


def _shorten(param: Command) -> None:
    """A short word for what is written behind an option: the column of types took a third of a terminal."""
    kind = param.type_descriptor.annotation if hasattr(param, "type_descriptor") else str
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    if low is not None or high is not None:
        param.metavar = f"{low or 0:g} or more" if high is None else f"{low or 0:g}–{high:g}"
        param.min = param.max = None
    elif getattr(param, "is_flag", False):
        param.metavar = ""
    elif param.metavar is None:
        choices: list[Any] = list(kind) if isinstance(kind, EnumType) else []
        param.metavar = "|".join(one.value for one in choices) or _TYPES.get(getattr(kind, "__name__", ""))
    if param.metavar and len(param.metavar) > _WIDE:
        param.metavar = param.metavar.replace("|", "\n")
