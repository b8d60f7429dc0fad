"""A second small model, which says other things than the first."""

from pathlib import Path

import pytest

from tests.conftest import Golden, train_small


@pytest.fixture(scope="session")
def other_bundle(golden: Golden, catalogue: Path, session_cache: Path) -> Path:
    """A bundle of another architecture, trained on the same photos; not to be changed."""
    from exporter.export import export_run
    from exporter.options import ExportOptions

    run = golden.get("simple", lambda run: train_small(run, catalogue, session_cache, arch="simple"))
    return golden.get("other", lambda place: export_run(run, place, ExportOptions(int8=False)))
