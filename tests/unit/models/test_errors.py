"""What ``hangtag`` returns to the shell."""

import re
from pathlib import Path

from models.errors import ExitCode

FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"


def test_each_status_has_one_meaning_and_is_documented() -> None:
    table = FORMATS.read_text().partition("## Exit statuses")[2]
    documented = [int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert documented == sorted(ExitCode)
    assert [name for name, code in ExitCode.__members__.items() if name != code.name] == [], "no other names"
