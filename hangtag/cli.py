"""The one command. Each room owns its commands; this gathers them, and renders every error once."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from hangtag.help import ALL, arrange, as_now, asks_for_help
from hangtag.layout import ROOMS, check_layout
from hangtag.quick import begin_quickly, end_quickly

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "classify": "models",
        "verify": "models",
        "benchmark": "models",
        "demo": "trainer",
        "check": "trainer",
        "train": "trainer",
        "evaluate": "trainer",
        "retrain": "trainer",
        "corrections": "trainer",
        "export": "exporter",
        "label": "worker",
        "doctor": "worker",
        "submit": "worker",
        "worker": "worker",
        "jobs": "worker",
        "schedule": "trainer",
        "models": "worker",
        "web": "web",
        "review": "web",
    }
)
"""Command → the room that owns it, so that a command imports no other room's options."""

MODULES_OF_OTHER_ROOMS: Final[Mapping[str, str]] = MappingProxyType({"train_worker": "trainer.schedule"})
"""Modules that a room's command needs from a room that it may not import: name → module."""
_LEAVE_FILES: Final = frozenset({"trainer", "exporter"})
"""Rooms whose libraries leave temporary files behind when they are killed."""
_COMPLETION: Final = "_HANGTAG_COMPLETE"
"""What a shell sets that asks how to complete a command line."""


def rooms_for(arguments: Sequence[str]) -> Sequence[str]:
    """The rooms to load: the one whose command the first word names, else all of them."""
    return [COMMANDS[word] for word in arguments[:1] if word in COMMANDS] or ROOMS


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer keeps its own copy of Click, without types
        """See Typer's; a wrong choice is refused without the words that Pydantic puts before the reason."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def make_app(rooms: Sequence[str] = ROOMS) -> typer.Typer:
    """The command line with the commands of some rooms."""
    app = typer.Typer(
        name="hangtag",
        cls=_Commands,
        help="Train on your labelled product photos, prove the ONNX model, label millions on plain CPUs.",
        epilog="Start with: hangtag demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"obj": MODULES_OF_OTHER_ROOMS},
    )
    app.callback()(_root)
    for room in rooms:
        import_module(f"{room}.commands").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hangtag {version('hangtag')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


def main() -> None:
    """Run the command that this process was started for."""
    words = as_now(sys.argv[1:])
    rooms = rooms_for(words)
    begin_quickly(rooms)
    try:
        _prepare(rooms)
        run(words)
    except SystemExit as end:
        end_quickly(rooms, end)
        raise


def _prepare(rooms: Sequence[str]) -> None:
    try:
        check_layout()
    except ImportError as error:
        _fail(str(error), 1)
    from models.process import use_own_temporary_folder
    from models.session import refuse_telemetry

    refuse_telemetry()
    if _LEAVE_FILES.issuperset(rooms):
        use_own_temporary_folder()


def run(arguments: Sequence[str]) -> NoReturn:
    """Run a command; errors that Hangtag raises on purpose become one line and an exit status.

    Raises:
        SystemExit: always, with the status.
    """
    from models.errors import HangtagError
    from models.text import printable

    words = as_now(arguments)
    try:
        command = get_command(make_app(rooms_for(words)))
        if asks_for_help(words):
            arrange(command, words, every=ALL in words or _COMPLETION in os.environ)
            words = ["--help" if word == ALL else word for word in words]
        command(words)
    except HangtagError as error:
        _fail(printable(str(error)), error.exit_code)
    except OSError as error:
        said = f"The system refused: {error}. Check that the path is right, can be written to, and has room."
        _fail(printable(said), 1)
    sys.exit(0)


def _fail(message: str, status: int) -> NoReturn:
    print(f"hangtag: {message}", file=sys.stderr)
    sys.exit(status)
