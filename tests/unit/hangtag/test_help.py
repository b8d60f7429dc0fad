import pytest
import typer

from hangtag.cli import COMMANDS, make_app, run
from hangtag.help import _PANELS, _RARE, TASKS, _walk, arrange, as_now
from tests.command import run_hangtag


def help_of(capsys, monkeypatch, *words):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        run([*words])
    assert end.value.code in {0, 2}  # without a command, Typer shows the help and ends with 2
    return capsys.readouterr().out


def option_names():
    commands = list(_walk(typer.main.get_command(make_app())))
    return {word for command in commands for param in command.params for word in param.opts if word.startswith("--")}


def test_every_command_has_a_task_and_every_named_option_is_one():
    assert sorted(name for names in TASKS.values() for name in names) == sorted(COMMANDS)
    named = {f"--{name}" for names in [*_PANELS.values(), _RARE] for name in names.split()}
    assert named - option_names() == set()


def test_commands_stand_in_panels_by_task(capsys, monkeypatch):
    shown = help_of(capsys, monkeypatch)
    places = [shown.index(f" {task} ─") for task in TASKS]
    assert places == sorted(places)
    assert places[1] < shown.index(" check ") < places[2] < shown.index(" submit ") < places[3]


def test_a_rare_option_is_shown_when_all_are_asked_for(capsys, monkeypatch):
    usual = help_of(capsys, monkeypatch, "label", "--help")
    panel = usual.rindex("╰")
    assert "--per-host" not in usual[:panel]
    assert "--per-host" in usual[panel:]
    assert "--per-host" in help_of(capsys, monkeypatch, "label", "--help-all").partition("╰")[2]
    assert "--help-all" not in help_of(capsys, monkeypatch, "label", "--help-all")


def test_the_column_of_types_is_narrow(capsys, monkeypatch):
    shown = help_of(capsys, monkeypatch, "train", "--help-all")
    assert "<int range>" not in shown
    assert "16–1024" in shown
    assert "pad|stretch|crop" in shown
    assert "1 or more" in shown


def test_commands_that_are_alike_say_which_is_which(capsys, monkeypatch):
    for name in ("check", "verify", "evaluate", "benchmark"):
        assert "Which one? check: labelled photos" in " ".join(help_of(capsys, monkeypatch, name, "--help").split())


def test_help_that_is_arranged_has_the_same_options():
    for every in (False, True):
        group = _group()
        before = {name: {param.name for param in one.params} for name, one in group.commands.items()}
        arrange(group, every=every)
        assert before == {name: {param.name for param in one.params} for name, one in group.commands.items()}


def test_the_earlier_names_of_options_are_taken_and_not_shown(capsys, monkeypatch):
    named = {
        ("label", "--output"),
        ("worker", "--concurrency"),
        ("submit", "--timeout"),
    }
    for command, earlier in named:
        assert earlier in {word for param in _group().commands[command].params for word in param.opts}
        assert f" {earlier} " not in help_of(capsys, monkeypatch, command, "--help-all")
    assert "--output" in help_of(capsys, monkeypatch, "label", "a.csv", "--output", "b.csv", "--help")


def test_the_earlier_names_of_commands_are_not_shown(capsys, monkeypatch):
    shown = help_of(capsys, monkeypatch)
    assert " beat " not in shown
    assert "--watch" not in help_of(capsys, monkeypatch, "submit", "--help-all")
    assert help_of(capsys, monkeypatch, "beat", "--help") == help_of(capsys, monkeypatch, "schedule", "--help")


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        ("beat a.toml --log json", "schedule a.toml --log json"),
        ("submit --watch in --model m --once", "watch in --model m --once"),
        ("submit --model m --settle 0 --watch=in", "watch --model m --settle 0 in"),
        ("submit a.csv --model m", "submit a.csv --model m"),
        ("label beat --watch", "label beat --watch"),
        ("", ""),
    ],
)
def test_an_earlier_command_line_is_taken_as_todays(earlier, now):
    assert as_now(earlier.split()) == now.split()


@pytest.mark.parametrize(
    ("earlier", "now", "status"),
    [
        ("beat none.toml", "schedule none.toml", 2),
        ("beat", "schedule", 2),
        ("submit --watch none --model none --once", "watch none --model none --once", 2),
        ("submit a.csv --watch none --model none", "watch a.csv none --model none", 2),
        ("submit --watch none --model none --settle inf", "watch none --model none --settle inf", 2),
        ("submit --watch none --model none --job a", "watch none --model none --job a", 2),
        ("submit --watch . --model none@1 --once", "watch . --model none@1 --once", 2),
    ],
)
def test_an_earlier_name_ends_with_the_status_of_todays(earlier, now, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = [run_hangtag(*words.split()) for words in (earlier, now)]
    assert [one.returncode for one in told] == [status, status]
    assert told[0].stderr == told[1].stderr


def _group():
    return typer.main.get_command(make_app())
