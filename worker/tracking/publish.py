"""A bundle that a person publishes, told to MLflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models.bundle import MANIFEST_FILE, open_bundle
from worker.tracking.entry import Entry
from worker.tracking.figures import epoch_figures, evaluation_figures, run_params
from worker.tracking.tracker import EXPERIMENT, tell

__all__ = ["bundle_entry", "publish_bundle"]

_OF_A_RUN: Final = ("args.json", "results.csv", "evaluation.json", "report.html", "model_card.md")


def publish_bundle(
    uri: str,
    bundle: Path,
    name: str,
    run: Path | None,
    version: int,
    aliases: Mapping[str, int | None] | None = None,
    experiment: str = EXPERIMENT,
) -> str:
    """Log a bundle as a run, and register it. The second time nothing is doubled.

    Args:
        uri: of the tracking server.
        bundle: its folder.
        name: of the model.
        run: the training behind it, where somebody has it: its settings, curves and figures are logged.
        version: that it has in Hangtag's registry.
        aliases: that the model has there, all of them; none where they are to stay as MLflow has them.
        experiment: that the run is logged to.

    Returns:
        The run's ID in MLflow.

    Raises:
        BundleError: it is none.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: the server is away, or refuses. The bundle stays published in Hangtag's registry.
    """
    return tell(uri, experiment, bundle_entry(bundle, name, run, version), aliases or {})


def bundle_entry(bundle: Path, name: str, run: Path | None, version: int) -> Entry:
    """What is known of a bundle, and of the training behind it.

    Raises:
        BundleError: it is none.
    """
    opened = open_bundle(bundle)
    return Entry(
        name,
        version,
        opened.digest,
        bundle,
        at_ms=int((bundle / MANIFEST_FILE).stat().st_mtime * 1000),
        params=run_params(run) if run else {},
        figures=(*epoch_figures(run), *evaluation_figures(run)) if run else (),
        files={run / file: "run" for file in _OF_A_RUN if (run / file).is_file()} if run else {},
    )
