import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from hangtag.cli import COMMANDS, make_app, rooms_for
from hangtag.layout import ROOMS

HEAVY = (
    *("trainer", "exporter", "worker", "models.golden", "models.verify", "models.benchmark"),
    *("rich", "pyarrow", "tensorflow", "keras", "onnx", "matplotlib", "scipy", "sklearn", "faiss", "celery", "redis"),
    *("asyncio", "unittest", "multiprocessing", "concurrent.futures", "http.client", "sqlite3"),
)


def said(code: str, *arguments: object, **environment: str) -> str:
    """What a fresh process prints last."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env | environment).stdout.split(
        "\n"
    )[-2]


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_of_commands_names_the_rooms_that_own_them(room: str) -> None:
    owned = typer.main.get_command(make_app([room])).commands
    assert sorted(owned) == sorted(name for name, owner in COMMANDS.items() if owner == room)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["--help", "classify"], ["clasify"]])
def test_what_is_no_command_of_a_room_is_asked_of_all(arguments: list[str]) -> None:
    assert list(rooms_for(arguments)) == list(ROOMS)


def test_a_command_is_asked_of_its_room_alone() -> None:
    assert rooms_for(["label", "classify", "--help"]) == ["worker"]


def test_classify_loads_nothing_that_it_does_not_need(bundle: Path, tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "one.jpg")
    code = (
        "import atexit, sys; from hangtag.cli import main\n"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))\n"
        "main()"
    )
    assert ast.literal_eval(said(code, "classify", tmp_path / "one.jpg", "--model", bundle)) == []


def test_cycles_are_sought_as_usual_after_the_first_time() -> None:
    code = (
        "import gc; usual = gc.get_threshold(), list(gc.callbacks)\n"
        "from hangtag.quick import begin_quickly; begin_quickly(['models'])\n"
        "late = gc.get_threshold()[0] > 100 * usual[0][0]; gc.collect()\n"
        "print(late, (gc.get_threshold(), gc.callbacks) == usual)"
    )
    assert said(code) == "True True"


@pytest.mark.parametrize(
    ("rooms", "own", "threads"),
    [(["models"], {}, "1"), (ROOMS, {}, None), (["models"], {"OPENBLAS_NUM_THREADS": "3"}, "3")],
)
def test_numpy_has_threads_of_its_own_only_where_something_is_learned(
    rooms: list[str], own: dict[str, str], threads: str | None
) -> None:
    code = (
        f"import os; from hangtag.quick import begin_quickly; begin_quickly({rooms})\n"
        "print(repr(os.environ.get('OPENBLAS_NUM_THREADS')))"
    )
    assert said(code, **own) == repr(threads)


END = """
import atexit, sys, threading
from hangtag.quick import end_quickly
{before}
try:
    sys.exit({code!r})
except SystemExit as end:
    if {quickly}:
        end_quickly(['models'], end)
        print('not quickly', file=sys.stderr)
    raise
"""
LATER = """
def speak():
    threading.main_thread().join()
    print('the thread is done')
threading.Thread(target=speak).start()
"""
BROKEN_PIPE = "sys.stdin.readline(); print('what nobody reads')"


def ended(code: object, before: str = "", *, quickly: bool = True) -> subprocess.CompletedProcess[str]:
    """How a fresh process ends, its output in a pipe."""
    script = END.format(code=code, before=before, quickly=quickly)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def ended_unread(*, quickly: bool) -> tuple[int, str]:
    """The same, where nobody reads any more what it prints."""
    script = END.format(code=3, before=BROKEN_PIPE, quickly=quickly)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, stderr=-1, text=True, env=buffered
    ) as process:
        process.stdout.close()
        process.stdin.write("now\n")
        process.stdin.close()
        return process.wait(), process.stderr.read()


def test_a_quick_end_keeps_the_status() -> None:
    done = ended(5)
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "")


def test_all_that_was_printed_arrives_before_a_quick_end() -> None:
    done = ended(0, "atexit.register(print, 'at the end'); sys.stdout.write('x' * 10_000_000)")
    assert (done.returncode, len(done.stdout), done.stdout[-11:]) == (0, 10_000_011, "at the end\n")


def test_a_process_with_a_thread_ends_as_usual() -> None:
    done = ended(4, LATER)
    assert (done.returncode, done.stdout, done.stderr) == (4, "the thread is done\n", "not quickly\n")


@pytest.mark.parametrize("code", [None, "No room is left.", 3.5])
def test_what_is_no_status_ends_as_usual(code: object) -> None:
    done, usual = ended(code), ended(code, quickly=False)
    assert done.returncode == usual.returncode == (code is not None)
    assert done.stderr == f"not quickly\n{usual.stderr}"


def test_a_process_that_nobody_reads_ends_as_usual() -> None:
    (status, told), usual = ended_unread(quickly=True), ended_unread(quickly=False)
    assert (status, told) == (usual[0], f"not quickly\n{usual[1]}")
    assert "BrokenPipeError" in told
