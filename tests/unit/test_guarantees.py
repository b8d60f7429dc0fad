"""The tests that docs/guarantees.md names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
NAMED = re.findall(r"`((?:[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`", (ROOT / "docs" / "guarantees.md").read_text())


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_guarantee_names_a_test_that_is_there(file: str, test: str) -> None:
    found = [text for path, text in TESTS.items() if str(path).endswith(f"/{file}")]
    assert len(found) == 1 or test
    assert not test or any(f"def {test}(" in text for text in found)


def test_guarantees_are_found() -> None:
    assert len(NAMED) > 30
