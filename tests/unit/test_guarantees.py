"""The tests named in docs/guarantees.md exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
NAMED = re.findall(r"`((?:[\w/]+/)?test_\w+\.py)(?:::(test_\w+))?`", (ROOT / "docs" / "guarantees.md").read_text())


def _is_there(file: str, test: str) -> bool:
    found = [text for path, text in TESTS.items() if str(path).endswith(f"/{file}")]
    return any(f"def {test}(" in text for text in found) if test else len(found) == 1


def test_each_guarantee_names_a_test_that_is_there() -> None:
    assert [(file, test) for file, test in NAMED if not _is_there(file, test)] == []


def test_guarantees_are_found() -> None:
    assert len(NAMED) > 30
