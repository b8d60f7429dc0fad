import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.process import Owner, _start_by_ps

TEXT = st.text(st.characters(codec="utf-8"))


def test_a_process_that_lives_is_not_dead(living_process: Owner) -> None:
    assert Owner.this().pid == os.getpid() != living_process.pid
    assert not Owner.this().known_dead
    assert not living_process.known_dead


def test_a_process_that_has_ended_is_dead(ended_process: Owner) -> None:
    assert ended_process.known_dead


def test_a_process_of_the_same_number_is_another() -> None:
    assert replace(Owner.this(), started=Owner.this().started - 1).known_dead


@pytest.mark.parametrize("machine", ["another boot/pid:[4026531836]", ""])
def test_nothing_is_known_of_another_machines_process(ended_process: Owner, machine: str) -> None:
    assert not replace(ended_process, machine=machine).known_dead


def test_the_remains_of_a_process_are_dead() -> None:
    code = "from models.process import Owner; print(Owner.this().to_json(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        owner = Owner.from_json(process.stdout.readline())
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT), "it has ended and is not reaped"
        assert os.path.exists(f"/proc/{owner.pid}")  # noqa: PTH110 - a process, not a file
        assert owner.known_dead


def test_a_process_may_call_itself_anything() -> None:
    code = (
        "import pathlib; pathlib.Path('/proc/self/comm').write_text(') R 1 (');"
        "from models.process import Owner; print(Owner.this().to_json(), Owner.this().known_dead)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, dead = done.stdout.rsplit(maxsplit=1)
    assert dead == "False"
    assert Owner.from_json(text).started > Owner.this().started


@given(st.builds(Owner, host=TEXT, machine=TEXT, pid=st.integers(), started=st.integers()))
def test_an_owner_survives_json(owner: Owner) -> None:
    assert Owner.from_json(owner.to_json()) == owner
    assert Owner.from_json(owner.to_json().encode()) == owner


def test_ps_tells_starts_apart_as_macos_needs(living_process: Owner, ended_process: Owner) -> None:
    assert _start_by_ps(living_process.pid) == _start_by_ps(living_process.pid)
    assert abs(_start_by_ps(living_process.pid) - time.time()) < 3600
    assert _start_by_ps(ended_process.pid) is None
