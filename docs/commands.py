"""Writes docs/reference/commands.md from the commands: ``python docs/commands.py``, which ``make docs`` runs."""

import re
import sys
from collections.abc import Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from hangtag.cli import make_app

PAGE: Final = Path(__file__).parent / "reference" / "commands.md"
HEAD: Final = """# Commands

<!-- Written by docs/commands.py from the commands themselves: edit their help, then run `make docs`. -->

`hangtag COMMAND --help` says the same in your terminal. `hangtag --install-completion` teaches your shell to complete
commands and options. What a command returns to the shell stands under [exit statuses](../formats.md#exit-statuses).

| task | command | what it does |
|---|---|---|
"""
Command = Any
"""A Typer command, group or parameter: Typer keeps its own copy of Click, without types."""


def page() -> str:
    """The whole page."""
    app = typer.main.get_command(make_app())
    commands = list(walk(app))
    rows = [
        f"| {task_of(command)} | [`{name}`](#{anchor(name)}) | {cell(first_line(command))} |\n"
        for name, command in commands
    ]
    return "".join([HEAD, *rows, *(section(name, command) for name, command in commands)])


def walk(group: Command, before: str = "hangtag") -> Iterator[tuple[str, Command]]:
    """Each command with its full name, those of a group behind it."""
    for name in group.list_commands(None):
        command = group.commands[name]
        full = f"{before} {name}"
        yield full, command
        if hasattr(command, "commands"):
            yield from walk(command, full)


def task_of(command: Command) -> str:
    """The panel of ``hangtag --help`` that it is in; a command of a group is in none."""
    panel = command.rich_help_panel
    return panel if isinstance(panel, str) else ""


def anchor(name: str) -> str:
    """The heading's id on the site, and on GitHub."""
    return name.replace(" ", "-")


def first_line(command: Command) -> str:
    """The sentence that ``hangtag --help`` shows."""
    return " ".join(command.help.split("\n\n")[0].split())


def section(name: str, command: Command) -> str:
    """Usage, help, arguments and options of a command."""
    own = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    arguments = [param for param in own if not param.opts[0].startswith("-")]
    usage = " ".join([name, *(f"{param.metavar or param.name.upper()}" for param in arguments)])
    options = "[OPTIONS]" if len(own) > len(arguments) else ""
    asked = f"\n{command.epilog}\n" if command.epilog else ""
    tables = "".join(table(panel or "", list(params)) for panel, params in groupby(own, panel_of))
    return f"\n## {name}\n\n`{f'{usage} {options}'.strip()}`\n\n{told(command.help)}{asked}{tables}"


def panel_of(param: Command) -> str | None:
    """What an option is about, where its command has many; arguments and others are in no panel."""
    panel = getattr(param, "rich_help_panel", None)
    return panel if isinstance(panel, str) else None


def table(panel: str, params: list[Command]) -> str:
    """A panel's arguments and options."""
    head = f"| {panel or 'argument or option'} | what it means | default |\n|---|---|---|\n"
    return "\n" + head + "".join(row(param) for param in params)


def told(text: str) -> str:
    """The help as Markdown: its examples become a block."""
    parts: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        line = " ".join(paragraph.split())
        if paragraph.startswith(" ") and line.startswith(("hangtag ", "pip ")):
            shown = f"```bash\n{line}\n```\n"
            if parts and parts[-1].startswith("```"):
                parts[-1] = parts[-1].removesuffix("```\n") + f"{line}\n```\n"
                continue
            parts.append(shown)
        else:
            parts.append(f"{line}\n")
    return "\n".join(parts)


def row(param: Command) -> str:
    """A parameter as a row of the table."""
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    if not param.opts[0].startswith("-"):
        names = f"`{param.metavar or param.name.upper()}`"
    elif value := value_of(param):
        names += f" `{value}`"
    said = param.help or ""
    if param.envvar:
        said += f" Environment: `{param.envvar}`."
    return f"| {names} | {cell(said)} | {cell(default_of(param))} |\n"


def value_of(param: Command) -> str:
    """What is written behind an option."""
    value = "" if param.is_flag else str(param.display_type_rich(None)).strip("<>").removesuffix(" range")
    return re.sub(r"[|\n]", "/", value)


def default_of(param: Command) -> str:
    """The default, where the help does not say it in words."""
    if param.required:
        return "needed"
    default = param.default
    if isinstance(param.show_default, str):
        return param.show_default
    if default is None or default is False or default in ((), []) or callable(default):
        return ""
    if param.is_flag:
        return "on"
    return str(default.value if isinstance(default, Enum) else default)


def cell(text: str) -> str:
    """Text in a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


if __name__ == "__main__":
    PAGE.write_text(page())
