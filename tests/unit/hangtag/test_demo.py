import sys
from pathlib import Path

import pytest

from hangtag.demo import command, run_demo
from models.errors import InputError


def test_a_folder_that_no_demo_made_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=str(tmp_path)):
        run_demo(tmp_path, 200, queued=False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.txt", "mine")]


def test_a_finished_demo_is_kept_unless_another_is_asked_for(tmp_path):
    (tmp_path / ".hangtag-demo").touch()
    (tmp_path / "index.html").write_text("finished")
    with pytest.raises(InputError, match="--restart"):
        run_demo(tmp_path, 200, queued=False)
    assert (tmp_path / "index.html").read_text() == "finished"


def test_the_last_line_can_be_pasted_without_an_activated_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(command()).parent == Path(sys.executable).parent
    script = tmp_path / "hangtag"
    script.touch(0o755)
    assert command() == "hangtag"
