"""A second small model, which says other things than the first."""

from pathlib import Path

import pytest

from tests.conftest import trained_run


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory, catalogue: Path, session_cache: Path) -> Path:
    """A bundle of another architecture, trained on the same photos; not to be changed."""
    from exporter.export import export_run
    from exporter.options import ExportOptions

    run = trained_run(tmp_path_factory.mktemp("other"), catalogue, session_cache, arch="simple")
    return export_run(run, tmp_path_factory.mktemp("other") / "other", ExportOptions(int8=False)).bundle
