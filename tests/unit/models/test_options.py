from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from models.options import takes


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")] = 3
    height: int = 4


@dataclass(frozen=True, kw_only=True)
class Ink:
    colour: str | None = None


def app_of(command):
    app = typer.Typer()
    app.command()(command)
    return app


def test_a_command_gets_each_record_of_its_options():
    got = []

    @takes(size=Size, ink=Ink)
    def draw(name: str, size: Size, ink: Ink, *, twice: bool = False) -> None:
        got.append((name, size, ink, twice))

    result = CliRunner().invoke(app_of(draw), ["square", "--width", "5", "--colour", "red", "--twice"])
    assert result.exit_code == 0, result.output
    assert got == [("square", Size(width=5), Ink(colour="red"), True)]


def test_options_stand_where_their_record_stands():
    @takes(size=Size)
    def draw(name: str, *, first: int = 1, size: Size, last: int = 2) -> None: ...

    command = typer.main.get_command(app_of(draw))
    assert [param.name for param in command.params[:5]] == ["name", "first", "width", "height", "last"]
    assert command.params[2].help == "How wide."
