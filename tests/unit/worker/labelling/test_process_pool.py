import json
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from models.errors import JobError
from models.process import python_environment
from tests.until import until
from worker.labelling import process_pool
from worker.labelling.process_pool import Death, ProcessPool

ECHO = """
import json, os, signal, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    print(json.dumps({"echo": word}), flush=True)
"""


@pytest.fixture
def pool_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pool whose processes run a module with the code given."""

    def make(code: str, workers: int = 2) -> ProcessPool:
        (tmp_path / "pool_child.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return ProcessPool(("pool_child",), workers)

    return make


def test_a_link_that_lies_where_a_log_goes_empties_no_other_file(pool_of, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "process-1.log").symlink_to(victim)
    (tmp_path / "logs" / "process-2.log").write_text("of an earlier run")
    pool = pool_of("raise SystemExit('no such model')")
    with pool, pytest.raises(JobError, match="no such model"):
        pool.run(["1"], lambda *_: None, lambda _: True, logs=tmp_path / "logs")
    assert victim.read_text() == "precious"
    assert {log.read_text() for log in (tmp_path / "logs").iterdir()} == {"no such model\n"}


def test_a_dead_process_is_replaced_and_its_line_told(pool_of) -> None:
    answers: list[str] = []
    deaths: list[Death] = []

    def died(death: Death) -> bool:
        deaths.append(death)
        return False

    with pool_of(ECHO) as pool:
        pool.run(["1", "die", "2", "3", "die", "4"], lambda line, _: answers.append(line), died)
    assert sorted(answers) == ["1", "2", "3", "4"]
    assert [(death.lines[0], death.status) for death in deaths] == [("die", -11), ("die", -11)]


def test_a_refusal_ends_it(pool_of) -> None:
    code = f"print({json.dumps(json.dumps({'refused': 'a bad bundle', 'exit_code': 5}))}, flush=True); input()"
    with pool_of(code) as pool, pytest.raises(JobError, match="a bad bundle") as refusal:
        pool.run(["1"], lambda *_: None, lambda _: True)
    assert refusal.value.exit_code == 5


HOARD = """
import json, os, signal, sys
say = lambda **message: print(json.dumps(message), flush=True)
say(ready=True)
held = []
for line in sys.stdin:
    held.append(line.strip())
    if "die" in held and len(held) == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if len(held) < 3 and "last" not in held:
        say(more=True)
    else:
        while held:
            say(line=held.pop())
"""


def test_all_lines_of_a_dead_process_are_given_to_another_in_their_order(pool_of) -> None:
    deaths: list[Death] = []
    answers: list[str] = []

    def twice(death: Death) -> bool:
        deaths.append(death)
        return len(deaths) < 2

    with pool_of(HOARD, workers=1) as pool:
        pool.run(["1", "die", "2", "last"], lambda line, _: answers.append(line), twice)
    assert [death.lines for death in deaths] == [("1", "die", "2")] * 2
    assert answers == ["last"]


BUSY = """
import json, pathlib, sys, time
say = lambda **message: print(json.dumps(message), flush=True)
say(ready=True)
first = sys.stdin.readline().strip()
if first == "0":
    for _ in range(3):
        say(more=True)
    held = [first, *(sys.stdin.readline().strip() for _ in range(3))]
    pathlib.Path("has-its-lines").touch()
    while len(held) > 1:
        say(line=held.pop())
    while not pathlib.Path("others-done").exists():
        time.sleep(0.01)
    say(line=first)
else:
    while not pathlib.Path("has-its-lines").exists():
        time.sleep(0.01)
    while first:
        say(line=first)
        first = sys.stdin.readline().strip()
"""


def test_who_has_lines_in_hand_and_no_room_for_more_keeps_none_from_others(
    pool_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers: list[str] = []

    def answered(line: str, _: object) -> None:
        answers.append(line)
        if len(answers) == 39:
            (tmp_path / "others-done").touch()

    with pool_of(BUSY) as pool:
        pool.run(map(str, range(40)), answered, lambda _: True)
    assert answers[-1] == "0"
    assert sorted(map(int, answers)) == list(range(40))


GREETED = """
import json, os, pathlib, signal, sys
pathlib.Path(f"started-{os.getpid()}").touch()
greeting = sys.stdin.readline().strip()
if greeting:
    print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    if line.strip() == "die" and not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    print(json.dumps({"greeting": greeting}), flush=True)
"""


def greeted() -> int:
    """What the processes of the pool run, in a fork."""
    runpy.run_path("pool_child.py")
    return 0


def test_forks_learn_what_to_do_later_and_processes_that_take_their_place_as_well(
    pool_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process_pool, "_may_fork", lambda: True)
    greetings: list[tuple[str, str]] = []
    deaths: list[Death] = []
    with pool_of(GREETED) as pool:
        pool.fork(greeted, 1)
        until(lambda: len(list(tmp_path.glob("started-*"))) == 1, "one has started")
        pool.run(
            ["1", "2", "die"],
            lambda line, reply: greetings.append((line, reply["greeting"])),
            lambda death: deaths.append(death) is None,
            "label this",
        )
    assert sorted(greetings) == [("1", "label this"), ("2", "label this"), ("die", "label this")]
    assert len(deaths) == 1


FORKING = """
import os, pathlib, sys, time
from worker.labelling.process_pool import ProcessPool
print("printed", end="")
def main():
    sys.stdin.read()
    pathlib.Path(f"ended-{os.getpid()}").touch()
    return 0
with ProcessPool(("no_such_module",), 2) as pool:
    pool.fork(main, 2)
    pathlib.Path("forked").touch()
    time.sleep(60)
"""


def test_forks_end_when_their_command_is_killed_and_print_nothing_twice(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", FORKING], cwd=tmp_path, stdout=subprocess.PIPE, env=python_environment()
    )
    until((tmp_path / "forked").exists, "the forks are there")
    assert len(psutil.Process(command.pid).children()) == 2
    command.kill()
    assert command.communicate()[0].count(b"printed") <= 1
    until(lambda: len(list(tmp_path.glob("ended-*"))) == 2, "both have seen their input end")


def test_a_process_with_threads_is_not_copied(pool_of) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    answers: list[str] = []
    try:
        with pool_of(ECHO) as pool:
            pool.fork(greeted, 2)
            assert pool._children == []
            pool.run(["1"], lambda line, _: answers.append(line), lambda _: True)
    finally:
        end.set()
        thread.join()
    assert answers == ["1"]
