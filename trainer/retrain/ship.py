"""The challenger is exported with its proof, and published; nobody gets it by that, since it is champion of nothing."""

import json
from typing import TYPE_CHECKING, Any

from exporter.options import ExportOptions
from models.bundle import MANIFEST_FILE
from models.registry_history import CHALLENGER
from models.whole_file import replace_file
from trainer.retrain.records import Comparison
from trainer.retrain.work import Step, Work
from trainer.run import Run

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["EXPORT", "PUBLISH", "numbers_of", "version_of"]


def _export(work: Work, view: "TrainingView") -> None:
    asked = work.config.export
    options = ExportOptions(int8=asked.int8, float16=asked.fp16, edge=asked.edge, ort=asked.ort)
    work.tools.export(work.folder.run, work.folder.bundle, options, view)


EXPORT = Step("export", lambda work: (work.folder.bundle / MANIFEST_FILE).is_file(), _export)


def _publish(work: Work, view: "TrainingView") -> None:
    run = Run(work.folder.run)
    comparison = work.folder.read(work.folder.comparison, Comparison)
    view.advance("Publishing", 0, 1)
    published = work.registry.publish(
        work.start.name,
        work.folder.bundle,
        f"retraining cycle {work.cycle_id}",
        numbers=numbers_of(comparison),
        training={"splits.csv": run.splits, "best.keras": run.best, "args.json": run.path / "args.json"},
        cycle=work.cycle_id,
        alias=CHALLENGER,
    )
    replace_file(work.folder.published, json.dumps({"version": published.version}).encode())


PUBLISH = Step("publish", lambda work: work.folder.published.is_file(), _publish)


def version_of(work: Work) -> int:
    """The challenger's version."""
    return int(json.loads(work.folder.published.read_bytes())["version"])


def numbers_of(comparison: Comparison) -> dict[str, Any]:
    """What the registry's history tells of a comparison."""
    keys = {"champion", "champion_accuracy", "challenger_accuracy", "points", "points_95", "photos", "won", "lost"}
    promised = comparison.automation.own_precision if comparison.automation else None
    return {**comparison.model_dump(mode="json", include=keys), "precision": promised}
