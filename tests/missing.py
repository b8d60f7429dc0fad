"""Skip or fail tests for missing programs."""

import os

import pytest


def skip_outside_ci(missing: str | None) -> None:
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
