"""The tests that docs/guarantees.md names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`((?:[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`", (ROOT / "docs" / "guarantees.md").read_text())


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_guarantee_names_a_test_that_is_there(file: str, test: str) -> None:
    found = [path for path in (ROOT / "tests").rglob("test_*.py") if str(path).endswith(f"/{file}")]
    assert len(found) == 1 or test
    assert not test or any(f"def {test}(" in path.read_text() for path in found)


def test_guarantees_are_found() -> None:
    assert len(NAMED) > 30
