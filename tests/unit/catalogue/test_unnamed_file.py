import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from catalogue.remote import UnnamedFile


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_read_by_its_path_and_has_no_name(scratch: Path) -> None:
    unnamed = UnnamedFile()
    unnamed.path.write_bytes(b"one\ntwo\n")
    assert unnamed.path.read_text() == "one\ntwo\n"
    with unnamed.path.open() as one, unnamed.path.open() as other:
        assert (one.readline(), other.readline(), one.readline()) == ("one\n", "one\n", "two\n")
    assert list(scratch.iterdir()) == []
    unnamed.close()
    unnamed.close()


def test_its_room_is_free_when_nobody_holds_it(scratch: Path) -> None:
    unnamed = UnnamedFile()
    number = unnamed.file.fileno()
    del unnamed
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_killed_process_leaves_nothing(scratch: Path) -> None:
    code = (
        "from catalogue.fetched import UnnamedFile; import os, signal; f = UnnamedFile(); "
        "f.path.write_bytes(b'x' * 100000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(scratch)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(scratch.iterdir()) == []
