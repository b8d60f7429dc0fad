import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hangtag.cli import _TASKS, make_app
from tests.command import clean_environment, run_hangtag

COMMANDS = typer.main.get_command(make_app()).commands
NESTED = {f"{name} {sub}": c for name, group in COMMANDS.items() for sub, c in getattr(group, "commands", {}).items()}
ALL = sorted((COMMANDS | NESTED).items())


@pytest.mark.parametrize("name", [name for name, _ in ALL])
def test_every_command_teaches_by_example(name: str) -> None:
    assert f"hangtag {name}" in CliRunner().invoke(make_app(), [*name.split(), "--help"]).output


@pytest.mark.parametrize(
    ("group", "verbs"),
    [
        ("corrections", ["apply", "import", "list"]),
        ("jobs", ["cancel", "resume", "retry-failed", "show", "watch"]),
        ("models", ["alias", "delete", "diff", "history", "promote", "publish", "rollback"]),
    ],
)
def test_a_group_has_these_commands(group: str, verbs: list[str]) -> None:
    assert sorted(name for name in NESTED if name.startswith(f"{group} ")) == [f"{group} {verb}" for verb in verbs]


def test_a_wrong_choice_is_refused_with_those_there_are_and_no_words_of_pydantic() -> None:
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
    assert "Writes the page check.html, check.csv (a row for each image) and check.json. Moves nothing" in shown
    assert "<bool>" not in shown.split("--strict")[1].split("\n")[0]


def test_every_option_is_explained() -> None:
    assert [f"{name} {option.name}" for name, command in ALL for option in command.params if not option.help] == []


@pytest.mark.parametrize(
    "words",
    [
        "classify a.jpg --model none",
        "classify a.jpg --model none@champion",
        "verify none.onnx",
        "benchmark none",
        "label none.csv --model none --out labels.csv",
        "models publish none --name shop",
        "models history none",
        "jobs show none",
        "jobs watch none",
        "export none",
        "train none",
        "train --resume none",
        "check none",
        "retrain none.toml",
        "corrections import none.csv",
        "corrections apply none.parquet",
        "corrections apply none",
    ],
)
def test_what_is_named_and_not_there_is_one_line_and_status_2(words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_hangtag(*words.split())
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert line.startswith("hangtag: Expected ")
    assert "none" in line


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("be", ["benchmark"]),
        ("jobs re", ["resume", "retry-failed"]),
        ("label --per-h", ["--per-host"]),
        ("train --preset b", ["best"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(typed: str, completed: list[str]) -> None:
    words = f"hangtag {typed}"
    asked = {"_HANGTAG_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    called = "import sys; from hangtag.cli import main; sys.argv[0] = 'hangtag'; main()"
    done = subprocess.run(
        [sys.executable, "-c", called], env=clean_environment(**asked), capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == completed


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from hangtag.cli import make_app;"
        "CliRunner().invoke(make_app(), ['--help']);"
        "heavy = ('tensorflow', 'onnxruntime', 'pyarrow', 'numpy', 'PIL', 'celery', 'redis');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
