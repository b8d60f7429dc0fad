"""A second small model, which says other things than the first."""

from pathlib import Path

import pytest

from tests.conftest import Golden, small_request


@pytest.fixture(scope="session")
def other_bundle(golden: Golden, catalogue: Path, session_cache: Path) -> Path:
    """A bundle of another architecture, trained on the same photos; not to be changed."""
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    from exporter.export import export_run
    from exporter.options import ExportOptions
    from tests.paper_cycle import PaperView
    from trainer.request import Arch
    from trainer.train import train

    def train_other(run: Path) -> None:
        request = small_request(catalogue).model_copy(update={"arch": Arch.SIMPLE})
        train(request, run, session_cache, PaperView())

    run = golden.get("simple", train_other)
    return golden.get("other", lambda place: export_run(run, place, ExportOptions(int8=False)))
