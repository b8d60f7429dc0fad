"""Write docs/reference/commands.md from the help of all commands: ``make docs``."""

import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from hangtag.cli import make_app

PAGE: Final = Path(__file__).parent / "reference" / "commands.md"
HEAD: Final = """# Commands

<!-- Written by docs/commands.py from the commands themselves: edit their help, then run `make docs`. -->

`hangtag COMMAND --help` shows this help in your terminal. `hangtag --install-completion` teaches your shell to complete
commands and options. [Exit statuses](../formats.md#exit-statuses) are the same for all commands.

"""
Command = Any
"""A Typer command, group or parameter, which has no public type."""


def page() -> str:
    """The whole page."""
    commands = list(walk(typer.main.get_command(make_app())))
    tasks = [f"- **{task}**: {', '.join(map(link, names))}\n" for task, names in by_task(commands).items()]
    first = {row(param): name for name, command in reversed(commands) for param in params_of(command)}
    return "".join([HEAD, *tasks, *(section(name, command, first) for name, command in commands)])


def by_task(commands: list[tuple[str, Command]]) -> dict[str, list[str]]:
    """Commands by their panel in ``hangtag --help``."""
    panels = {name: str(command.rich_help_panel) for name, command in commands}
    tasks: dict[str, list[str]] = {}
    for name in panels:
        tasks.setdefault(panels[" ".join(name.split()[:2])], []).append(name)
    return tasks


def link(name: str) -> str:
    """A link to a command's section."""
    return f"[`{name.removeprefix('hangtag ')}`](#{name.replace(' ', '-')})"


def params_of(command: Command) -> list[Command]:
    """Arguments and options that the help shows."""
    return [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]


def walk(group: Command, before: str = "hangtag") -> Iterator[tuple[str, Command]]:
    """Each command with its full name; a group comes before its commands."""
    for name in group.list_commands(None):
        command = group.commands[name]
        full = f"{before} {name}"
        yield full, command
        if hasattr(command, "commands"):
            yield from walk(command, full)


def section(name: str, command: Command, first: dict[str, str]) -> str:
    """Usage, help, arguments and options of a command. Options of an earlier command are only named."""
    own, earlier = "", dict[str, list[str]]()
    for param in params_of(command):
        if first[row(param)] == name:
            own += row(param)
        else:
            earlier.setdefault(first[row(param)], []).append(names_of(param))
    same = "; ".join(f"{link(other)}: {', '.join(names)}" for other, names in earlier.items())
    arguments = "".join(f" {param.metavar or param.name.upper()}" for param in params_of(command) if is_argument(param))
    parts = [
        f"`{name}{arguments} [OPTIONS]`\n" if arguments else "",
        told(command.help),
        command.epilog,
        own,
        f"As in {same}.\n" if same else "",
    ]
    return "\n".join(["", f"## {name}\n", *filter(None, parts)])


def is_argument(param: Command) -> bool:
    """Whether a parameter is an argument."""
    return not param.opts[0].startswith("-")


def names_of(param: Command) -> str:
    """The argument's name, or the option's spellings."""
    if is_argument(param):
        return f"`{param.metavar or param.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])


def told(text: str) -> str:
    """The help as Markdown, with examples as code blocks."""
    parts: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        line = " ".join(paragraph.split()).removeprefix("Examples:").strip()
        if not line.startswith(("hangtag ", "pip ")):
            parts += [f"{line}\n"] if line else []
        elif parts and parts[-1].startswith("```"):
            parts[-1] = parts[-1].removesuffix("```\n") + f"{line}\n```\n"
        else:
            parts.append(f"```bash\n{line}\n```\n")
    return "\n".join(parts)


def row(param: Command) -> str:
    """A list item for a parameter."""
    value = "" if is_argument(param) or value_of(param) in ("str", "path") else value_of(param)
    names = f"{names_of(param)} `{value}`" if value else names_of(param)
    env = f" Environment: `{param.envvar}`." if param.envvar else ""
    text = f"{names}: {' '.join((param.help or '').split())}{env} {default_of(param)}".strip()
    return f"- {text.replace('<', '&lt;')}\n"


def value_of(param: Command) -> str:
    """The type or placeholder of an option's value."""
    value = "" if param.is_flag else str(param.display_type_rich(None)).strip("<>").removesuffix(" range")
    return re.sub(r"[|\n]", "/", value)


def default_of(param: Command) -> str:
    """The default, if the help text does not contain it."""
    if param.required:
        return "Needed."
    default = param.default
    if isinstance(param.show_default, str):
        return f"Default: {param.show_default}."
    if default is None or default is False or default in ("", (), []) or callable(default):
        return ""
    if param.is_flag:
        return "Default: on."
    return f"Default: {default.value if isinstance(default, Enum) else default}."


if __name__ == "__main__":
    PAGE.write_text(page())
