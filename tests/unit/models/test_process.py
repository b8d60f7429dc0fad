"""Real killed processes: only they show whether their leftovers are removed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.process import default_cache, python_environment

START = """
import os, signal, sys, tempfile
from models.process import use_own_temporary_folder
use_own_temporary_folder()
left = tempfile.mkstemp(prefix="left-")[1]
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL)"
WAIT = "print(left, flush=True); sys.stdin.read()"
FORK = "child = os.fork()\nif not child: sys.exit()\nos.waitpid(child, 0)\nprint(os.path.exists(left))"
INHERIT = "import subprocess\nprint(subprocess.check_output(['sh', '-c', 'echo $TMPDIR'], text=True).strip())"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def command(then: str) -> list[str]:
    return [sys.executable, "-P", "-c", f"{START}{then}"]


def environment(place: Path) -> dict[str, str]:
    return {**python_environment(), "TMPDIR": str(place)}


def run(place: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(then), env=environment(place), text=True, capture_output=True, check=False)


def test_a_process_that_ends_leaves_nothing(place: Path) -> None:
    assert run(place).returncode == 0
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_goes_with_the_next_start(place: Path) -> None:
    assert run(place, DIE).returncode == -signal.SIGKILL
    assert len(list(place.rglob("left-*"))) == 1
    run(place)
    assert list(place.iterdir()) == []


def test_nothing_is_taken_from_a_process_that_lives(place: Path) -> None:
    with subprocess.Popen(
        command(WAIT), env=environment(place), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as living:
        assert living.stdout
        left = Path(living.stdout.readline().strip())
        run(place)
        assert left.is_file()
        living.communicate("")
    assert list(place.iterdir()) == []


def test_a_process_that_it_forked_leaves_the_folder(place: Path) -> None:
    assert run(place, FORK).stdout == "True\n"


def test_processes_that_it_starts_use_the_folder(place: Path) -> None:
    assert Path(run(place, INHERIT).stdout.strip()).parent == place


def test_folders_of_others_and_links_stay(place: Path, tmp_path: Path) -> None:
    (place / "another-program").mkdir()
    (tmp_path / "home").mkdir()
    (place / "hangtag-process-link").symlink_to(tmp_path / "home")
    run(place)
    assert sorted(path.name for path in place.iterdir()) == ["another-program", "hangtag-process-link"]
    assert (tmp_path / "home").is_dir()


def test_without_a_place_to_write_to_all_stays_as_it_is(place: Path) -> None:
    broken = "tempfile.tempdir = '/nowhere'\nuse_own_temporary_folder()\nprint(tempfile.gettempdir())"
    assert run(place, broken).stdout == "/nowhere\n"


@pytest.mark.parametrize(
    "start",
    [
        "import sys; sys.argv[1:] = ['corrections', 'list']; from hangtag.cli import main; main()",
        "import sys; sys.argv[1:] = ['worker', '--jobs', '/nowhere/jobs']; from hangtag.cli import main; main()",
    ],
    ids=["what trains", "a worker"],
)
def test_commands_that_leave_files_remove_those_of_killed_ones(place: Path, start: str) -> None:
    run(place, DIE)
    subprocess.run([sys.executable, "-P", "-c", start], env=environment(place), cwd=place, check=False)
    assert list(place.iterdir()) == []


def test_the_cache_is_where_the_desktop_wants_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "hangtag"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_cache() == Path("/home/ada/.cache/hangtag")


REUSE = """
import resource
from models.process import reuse_memory
if {reused}: reuse_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(20):
    photo = [bytearray(1 << 20) for _ in range(8)]
    del photo
print(faults() - before)
"""


def test_the_memory_of_one_photo_is_used_for_the_next() -> None:
    usual, reused = (
        int(subprocess.check_output([sys.executable, "-P", "-c", REUSE.format(reused=way)], env=python_environment()))
        for way in (False, True)
    )
    assert reused < usual / 4
