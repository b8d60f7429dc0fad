"""What a test needs and this machine may lack."""

import os

import pytest


def skip_outside_ci(missing: str | None) -> None:
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
