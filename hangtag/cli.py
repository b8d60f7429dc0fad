"""The one command. Each room owns its commands; this gathers them, and renders every error once."""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from hangtag.layout import ROOMS, check_layout

__all__ = ["main", "make_app"]


def make_app() -> typer.Typer:
    """The command line with the commands of every room."""
    app = typer.Typer(
        name="hangtag",
        help="Train on your labelled product photos, prove the ONNX model, label millions on plain CPUs.",
        epilog="Start with: hangtag demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for room in ROOMS:
        import_module(f"{room}.commands").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"hangtag {version('hangtag')}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that need no command."""


def main() -> None:
    """Run the command; errors that Hangtag raises on purpose become one line and an exit status."""
    try:
        check_layout()
    except ImportError as error:
        _fail(str(error), 1)
    from models.errors import HangtagError

    try:
        make_app()()
    except HangtagError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(f"The system refused: {error}. Check that the path is right, can be written to, and has room.", 1)


def _fail(message: str, status: int) -> None:
    print(f"hangtag: {message}", file=sys.stderr)
    sys.exit(status)
