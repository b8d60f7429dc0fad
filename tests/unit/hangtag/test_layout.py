import subprocess
import sys
from pathlib import Path

import pytest

import hangtag
from hangtag.layout import find_misplaced

HOME = Path(hangtag.__file__).resolve().parents[1]


def test_every_room_lies_beside_hangtag() -> None:
    assert find_misplaced(HOME) is None


@pytest.mark.parametrize("room", ["models", "pages"])
def test_a_folder_of_the_same_name_is_told(tmp_path: Path, room: str) -> None:
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "hangtag", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert str(tmp_path / room / "__init__.py") in done.stderr
    assert "in the way" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_room_is_told(tmp_path: Path) -> None:
    assert "Expected Hangtag's package models" in (find_misplaced(tmp_path) or "")
