"""Rules for Dockerfiles that hadolint (``make check``) does not have."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.docker_files import ROOM, Instruction, environment_of, health_check_of, read_dockerfile

ROOT = ROOM.parent
NAMES = sorted(path.name for path in ROOM.glob("*.Dockerfile"))
UID = "65532"


@pytest.fixture(params=NAMES)
def instructions(request: pytest.FixtureRequest) -> list[Instruction]:
    return read_dockerfile(request.param)


def rests(instructions: list[Instruction], verb: str) -> list[str]:
    return [instruction.rest for instruction in instructions if instruction.verb == verb]


def test_bases_are_pinned_and_small(instructions: list[Instruction]) -> None:
    assert len(rests(instructions, "FROM")) == 2
    for base in rests(instructions, "FROM"):
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+( AS build)?", base)


def test_the_user_is_a_number_and_not_root(instructions: list[Instruction]) -> None:
    assert rests(instructions, "USER") == [f"{UID}:{UID}"]
    users = " ".join(rests(instructions, "RUN"))
    assert f"useradd --uid {UID} --gid {UID}" in users
    last = next(i for i in reversed(instructions) if i.verb in {"USER", "RUN", "COPY"})
    assert last.verb == "USER"


def test_nothing_is_fetched_but_by_pip_at_the_pinned_versions(instructions: list[Instruction]) -> None:
    assert not rests(instructions, "ADD")
    text = " ".join(rests(instructions, "RUN"))
    assert "--constraint constraints.txt" in text
    assert "--no-cache-dir" in text
    assert not re.search(r"curl|wget|apt-get|https?://", text)


def test_there_is_no_secret_in_it(instructions: list[Instruction]) -> None:
    assert not rests(instructions, "ARG")
    assert not [name for name in environment_of(instructions) if re.search(r"PASSWORD|SECRET|KEY|TOKEN", name)]


def test_the_build_gets_what_it_copies_and_nothing_else(instructions: list[Instruction]) -> None:
    copied = {s for rest in rests(instructions, "COPY") if "--from" not in rest for s in rest.split()[:-1]}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert "*" in ignore
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize(("age_s", "well"), [(1, True), (60, False), (None, False)])
def test_a_worker_is_well_as_long_as_its_heart_beats(tmp_path: Path, age_s: int | None, well: bool) -> None:
    beat = tmp_path / "heartbeat"
    if age_s is not None:
        beat.touch()
        then = time.time() - age_s
        os.utime(beat, (then, then))
    command = health_check_of(read_dockerfile("worker.Dockerfile"))
    done = subprocess.run(command, env={**os.environ, "HANGTAG_HEARTBEAT": str(beat)}, check=False)
    assert (done.returncode == 0) == well


def test_the_worker_holds_nothing_that_trains() -> None:
    (install,) = [
        text for text in rests(read_dockerfile("worker.Dockerfile"), "RUN") if " install " in text and "pip" in text
    ]
    assert "'.[worker,web,s3]'" in install
