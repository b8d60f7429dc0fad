from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def misbehaving_plugin(monkeypatch):
    """Processes started from now on know two made-up formats: BOOM ends in SIGSEGV, HANG never ends."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
