from io import StringIO

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from models.terminal import Console, RateColumn, print_table

EVIL = "\x1b[31mred\x1b]8;;http://evil\x07\u202e\x9b2J"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def printed(*renderables: object) -> str:
    console = Console(file=StringIO(), width=200)
    for renderable in renderables:
        console.print(renderable, markup=False)
    return console.file.getvalue()


def test_no_escape_of_others_is_printed_wherever_it_stands() -> None:
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL))
    said = printed(EVIL, Text(EVIL), table)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"}.intersection(said)
    assert said.count(r"\x1b[31mred") == 6


def wide_table() -> Table:
    table = Table("name", "a heading longer than its figures")
    table.add_column("a state", no_wrap=True)
    table.add_column("spare")
    table.columns[1].justify = "right"
    table.add_row("n" * 60, "30,000", "in a state", "s" * 30)
    return table


@pytest.mark.parametrize(("width", "spare"), [(160, ["s" * 30]), (80, ["s" * 30]), (50, []), (30, [])])
def test_a_table_crops_no_figure_state_or_name(width: int, spare: list[str]) -> None:
    console = Console(file=StringIO(), width=width)
    print_table(wide_table(), console, spare=["spare"])
    rows = [line.split("│")[1:-1] for line in console.file.getvalue().splitlines() if "│" in line]
    assert [cell.strip() for cell in rows[0][1:]] == ["30,000", "in a state", *spare]
    assert "".join(row[0].strip() for row in rows) == "n" * 60


def test_nothing_is_wrapped_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Console().print("word " * 100)
    print_table(wide_table(), Console(), spare=["spare"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].count("word") == 100
    assert "n" * 60 in lines[4]


def test_the_bar_says_no_escape_of_others() -> None:
    console = Console(file=StringIO(), width=200)
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task(EVIL, total=1)
    assert "\x07" not in console.file.getvalue()
    assert r"\x1b[31mred" in console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "done", "later", "fields", "said"),
    [
        (2.9, 900, 0, {"earlier": 300, "unit": "images/s"}, ""),
        (3.0, 900, 0, {"earlier": 300, "unit": "images/s"}, "200 images/s"),
        (60.0, 420, 0, {"earlier": 300, "unit": "images/s"}, "2.0 images/s"),
        (60.0, 300, 0, {"earlier": 300, "unit": "images/s"}, "0.0 images/s"),
        (4.0, 1000, 50, {"unit": "images/s"}, "250 images/s"),
        (60.0, 500, 0, {}, ""),
    ],
)
def test_a_rate_is_of_the_work_since_its_start(seconds, done, later, fields, said) -> None:
    clock = Clock()
    progress = Progress(get_time=clock, console=Console(file=StringIO()))
    bar = progress.add_task("label", total=1000, completed=fields.get("earlier", 0), **fields)
    clock.now += seconds
    progress.update(bar, completed=done)
    clock.now += later
    assert RateColumn().render(progress.tasks[0]).plain == said
