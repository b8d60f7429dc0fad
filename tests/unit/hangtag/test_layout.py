import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("room", ["models", "pages"])
def test_a_folder_of_the_same_name_is_told(tmp_path: Path, room: str) -> None:
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "hangtag", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert str(tmp_path / room / "__init__.py") in done.stderr
    assert "Traceback" not in done.stderr
