import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from hangtag.cli import _TASKS, ROOMS, make_app, rooms_for
from hangtag.cli import COMMANDS as OWNERS
from tests.command import run_hangtag

COMMANDS = typer.main.get_command(make_app()).commands
NESTED = {f"{name} {sub}": c for name, group in COMMANDS.items() for sub, c in getattr(group, "commands", {}).items()}
ALL = sorted((COMMANDS | NESTED).items())
HEAVY = (
    *("trainer", "exporter", "worker", "models.golden", "models.verify", "models.benchmark"),
    *("rich", "pyarrow", "tensorflow", "keras", "onnx", "matplotlib", "scipy", "sklearn", "faiss", "celery", "redis"),
    *("asyncio", "unittest", "multiprocessing", "concurrent.futures", "http.client", "sqlite3"),
)


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_every_command_teaches_by_example(name: str) -> None:
    assert f"hangtag {name}" in CliRunner().invoke(make_app(), [*name.split(), "--help"]).output


def test_a_wrong_choice_is_refused_with_the_valid_ones_and_without_pydantics_words() -> None:
    words = ["submit", "a.csv", "--model", "shop", "--priority", "urgent"]
    done = CliRunner().invoke(make_app(["worker"]), words, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "Invalid value for '--priority': 'urgent' is not one of 'high', 'normal', 'low'." in done.output


def test_commands_stand_in_panels_by_task_in_their_order() -> None:
    shown = CliRunner().invoke(make_app(), ["--help"], env={"COLUMNS": "80"}).output
    marks = [f" {name} " for name in COMMANDS] + [f"─ {task} ─" for task in _TASKS]
    assert all(mark in shown for mark in marks)
    order = [
        mark for task, commands in _TASKS.items() for mark in (f"─ {task} ─", *(f"│ {name} " for name in commands))
    ]
    places = [shown.index(mark) for mark in order]
    assert places == sorted(places)


def test_paragraphs_are_as_wide_as_the_terminal_and_flags_take_no_value() -> None:
    shown = CliRunner().invoke(make_app(["trainer"]), ["check", "--help"], env={"COLUMNS": "200"}).output
    assert "Writes the page check.html, check.csv (one row per image) and check.json. Your files stay" in shown
    assert "<bool>" not in shown.split("--strict")[1].split("\n")[0]


def test_every_option_is_explained() -> None:
    assert [f"{name} {option.name}" for name, command in ALL for option in command.params if not option.help] == []


NOT_THERE = (
    "classify a.jpg --model none@champion",
    "benchmark none",
    "models publish none --name shop",
    "models history none",
    "jobs watch none",
    "train --resume none",
    "check none",
    "retrain none.toml",
    "corrections import none.csv",
    "corrections apply none",
)


@pytest.mark.parametrize(
    "words",
    [
        "classify a.jpg --model none",
        "verify none.onnx",
        "label none.csv --model none --out labels.csv",
        "jobs show none",
        "export none",
        "train none",
        "corrections apply none.parquet",
        *(pytest.param(words, marks=pytest.mark.rest) for words in NOT_THERE),
    ],
)
def test_a_missing_file_is_one_line_and_status_2(words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_hangtag(*words.split())
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert line.startswith("hangtag: Expected ")
    assert "none" in line


def said(code: str, *arguments: object, **environment: str) -> str:
    """The last line that a fresh process prints."""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"} | environment
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split("\n")[-2]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from hangtag.cli import make_app;"
        "CliRunner().invoke(make_app(), ['--help']);"
        "heavy = ('tensorflow', 'onnxruntime', 'pyarrow', 'numpy', 'PIL', 'celery', 'redis');"
        "print([m for m in heavy if m in sys.modules])"
    )
    assert said(code) == "[]"


def test_classify_loads_nothing_that_it_does_not_need(bundle: Path, tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "one.jpg")
    code = (
        "import atexit, os, sys; from hangtag.cli import main\n"
        "os._exit = sys.exit\n"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))\n"
        "main()"
    )
    assert said(code, "classify", tmp_path / "one.jpg", "--model", bundle) == "[]"


def test_output_that_cannot_be_written_at_the_end_is_one_line_and_status_1() -> None:
    code = "import sys; from hangtag import cli; cli.run = lambda words: (print('a label'), sys.exit(0)); cli.main()"
    with Path("/dev/full").open("w") as full:
        command, env = [sys.executable, "-c", code, "classify"], os.environ | {"PYTHONUNBUFFERED": ""}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    assert done.returncode == 1
    assert done.stderr == "hangtag: the output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_of_commands_names_the_rooms_that_own_them(room: str) -> None:
    owned = typer.main.get_command(make_app([room])).commands
    assert sorted(owned) == sorted(name for name, owner in OWNERS.items() if owner == room)


@pytest.mark.parametrize("arguments", [[], ["--help", "classify"], ["clasify"]])
def test_a_command_of_no_room_is_searched_in_all_rooms(arguments: list[str]) -> None:
    assert list(rooms_for(arguments)) == list(ROOMS)
    assert rooms_for(["label", "classify", "--help"]) == ["worker"]


@pytest.mark.parametrize(
    ("command", "own", "threads"),
    [("label", {}, "1"), ("train", {}, None), ("label", {"OPENBLAS_NUM_THREADS": "3"}, "3")],
)
def test_numpy_has_threads_only_in_commands_that_learn(command: str, own: dict[str, str], threads: str | None) -> None:
    code = (
        "import atexit, os, sys; from hangtag.cli import main\n"
        "os._exit = sys.exit\n"
        "atexit.register(lambda: print(repr(os.environ.get('OPENBLAS_NUM_THREADS'))))\n"
        "main()"
    )
    assert said(code, command, "--help", **own) == repr(threads)
