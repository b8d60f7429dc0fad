"""The command line: loads the commands of every package, and prints each error once."""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

ROOMS: Final = ("models", "trainer", "exporter", "worker", "web", "hangtag")
"""Hangtag's packages that define commands."""
_HOME: Final = Path(__file__).resolve().parents[1]


def check_layout() -> None:
    """Raise an ImportError if another package shadows a package of Hangtag."""
    for room in (*ROOMS, "catalogue", "pages"):
        spec = find_spec(room)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin != _HOME / room / "__init__.py":
            msg = (
                f"Expected Hangtag's package {room} in {_HOME / room}, found {origin or 'none'}; rename the "
                "other file or folder, run hangtag from another folder, or install it again."
            )
            raise ImportError(msg)


_TASKS: Final = {
    "Start": {"demo": "hangtag"},
    "Train": {
        "check": "trainer",
        "train": "trainer",
        "evaluate": "trainer",
        "export": "exporter",
        "verify": "models",
        "benchmark": "models",
        "retrain": "trainer",
    },
    "Label": {"classify": "models", "label": "worker", "submit": "worker", "jobs": "worker"},
    "Review": {"review": "web", "corrections": "trainer", "web": "web"},
    "Operate": {"worker": "worker", "schedule": "trainer", "models": "worker"},
}
"""The commands of each help panel, in the order of use, with their packages."""
COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {command: room for commands in _TASKS.values() for command, room in commands.items()}
)
"""The package of each command. A command loads no other package's commands."""
MODULES_OF_OTHER_ROOMS: Final[Mapping[str, str]] = MappingProxyType({"train_worker": "trainer.schedule"})
"""Modules that Typer's context passes to a command, by name. The command's package must not import these modules."""
_LEAVE_FILES: Final = frozenset({"trainer", "exporter", "hangtag"})
"""Packages whose libraries leave temporary files behind if the process is killed."""
_NO_LINEAR_ALGEBRA: Final = frozenset({"models", "worker"})
_END_AT_ONCE: Final = (["label"], ["classify"])
"""Commands that may skip Python's clean-up at exit."""
_FIRST_COLLECTION: Final = 200_000
"""Number of new objects that triggers a garbage collection. Imports create many objects and free few."""


def rooms_for(arguments: Sequence[str]) -> Sequence[str]:
    """The packages to load: the package of the command, or all packages if the first word is no command."""
    return [COMMANDS[word] for word in arguments[:1] if word in COMMANDS] or ROOMS


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer keeps its own copy of Click, without types
        return sorted(super().list_commands(ctx), key=list(COMMANDS).index)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        command = super().get_command(ctx, cmd_name)
        for one in (command, *getattr(command, "commands", {}).values()) if command else ():
            _tidy(one)
        return command

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def _tidy(command: Any) -> None:  # noqa: ANN401
    """Make paragraphs as wide as the terminal, except indented examples. Remove ``<bool>`` from flags."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(text if text.startswith(" ") else " ".join(text.split()) for text in paragraphs)
    for param in command.params:
        if getattr(param, "is_flag", False):
            param.metavar = ""


def make_app(rooms: Sequence[str] = ROOMS) -> typer.Typer:
    """The command line with the commands of the given packages."""
    app = typer.Typer(
        name="hangtag",
        cls=_Commands,
        help="Train on your labelled product photos, check the ONNX model, label millions of photos on plain CPUs.",
        epilog="Start with: hangtag demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"obj": MODULES_OF_OTHER_ROOMS},
    )
    app.callback()(_root)
    for room in rooms:
        import_module(f"{room}.commands").register(app)
    panels = {command: task for task, commands in _TASKS.items() for command in commands}
    for command in app.registered_commands:
        command.rich_help_panel = panels[str(command.name)]
    for group in app.registered_groups:
        group.rich_help_panel = panels[str(group.name)]
    return app


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version
        from platform import platform, python_version

        print(f"hangtag {version('hangtag')}, Python {python_version()}, {platform()}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


def main() -> None:
    """Run the command in the arguments of this process."""
    words = sys.argv[1:]
    rooms = rooms_for(words)
    try:
        _prepare(rooms)
        run(words)
    except SystemExit as ended:
        if words[:1] not in _END_AT_ONCE or not isinstance(ended.code, int):
            raise
        try:
            sys.stdout.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                os.write(2, f"hangtag: the output cannot be written ({error.strerror})\n".encode())
            os._exit(1)
        sys.stderr.flush()
        os._exit(ended.code)  # Python's clean-up takes longer than labelling twenty photos.
    finally:
        gc.freeze()  # skips the last garbage collection


def _prepare(rooms: Sequence[str]) -> None:
    """Speed up the start (see ``benchmarks/cold_start.py``), and check for packages that shadow Hangtag's."""
    # Pydantic looks for plugins in the metadata of every installed package. Hangtag uses no plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if _NO_LINEAR_ALGEBRA.issuperset(rooms):  # numpy would start an idle thread for each core
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _collect_late()
    try:
        check_layout()
    except ImportError as error:
        _fail(str(error), 1)
    from models.process import use_own_temporary_folder
    from models.session import refuse_telemetry

    refuse_telemetry()
    if _LEAVE_FILES.issuperset(rooms):
        use_own_temporary_folder()


def _collect_late() -> None:
    usual = gc.get_threshold()

    def as_usual(_phase: str, _info: dict[str, int]) -> None:
        gc.callbacks.remove(as_usual)
        gc.set_threshold(*usual)

    gc.callbacks.append(as_usual)
    gc.set_threshold(_FIRST_COLLECTION, *usual[1:])


def run(arguments: Sequence[str]) -> NoReturn:
    """Run a command. Print a Hangtag error as one line, and exit with its status."""
    from models.errors import HangtagError, system_words
    from models.text import printable, without_secrets

    try:
        get_command(make_app(rooms_for(arguments)))(list(arguments))
    except HangtagError as error:
        _fail(printable(without_secrets(str(error))), error.exit_code)
    except OSError as error:
        _fail(printable(system_words(error)), 1)
    sys.exit(0)


def _fail(message: str, status: int) -> NoReturn:
    print(f"hangtag: {message}", file=sys.stderr)
    sys.exit(status)
