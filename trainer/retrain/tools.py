"""What the steps of a cycle work with: the cycle itself, and the functions that do the work. Loads TensorFlow late."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.load_tensorflow import load_tensorflow
from exporter.options import ExportOptions
from models.process import default_cache
from models.registry.history import Event, What
from models.registry.registry import Registry
from models.statistics.intervals import proportion_interval
from trainer.retrain.collect import collect
from trainer.retrain.compare import compare
from trainer.retrain.config import CatalogueSettings, RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder, CycleStart
from trainer.retrain.gate import judge
from trainer.retrain.records import CatalogueDiff, Comparison
from trainer.retrain.report import write_report
from trainer.retrain.tracking import log_cycle
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.sample import SampleOptions, draw_sample
from worker.results.drift import drifted_jobs

if TYPE_CHECKING:
    from trainer.request import TrainRequest
    from trainer.train import TrainingView

_Advance = Callable[[str, int, int], None]


class CycleTools:
    """The functions that do a cycle's work: plain ones, so that a test can pass others."""

    collect = staticmethod(collect)
    compare = staticmethod(compare)
    judge = staticmethod(judge)
    write_report = staticmethod(write_report)
    log_cycle = staticmethod(log_cycle)
    drifted_jobs = staticmethod(drifted_jobs)
    cache = staticmethod(default_cache)

    @staticmethod
    def train(request: "TrainRequest", run: Path, cache: Path, view: "TrainingView") -> None:
        """Train a challenger, from its first epoch."""
        load_tensorflow()
        from trainer.train import train

        train(request, run, cache, view)

    @staticmethod
    def resume(run: Path, cache: Path, view: "TrainingView") -> None:
        """Go on with a training that was stopped."""
        load_tensorflow()
        from trainer.run import open_run
        from trainer.train import resume

        resume(open_run(run), cache, view)

    @staticmethod
    def export(run: Path, place: Path, options: ExportOptions, advance: _Advance) -> None:
        """Make a bundle of a run, or raise."""
        load_tensorflow()
        from exporter.export import export_run

        export_run(run, place, options, advance)

    @staticmethod
    def draw_rows(settings: CatalogueSettings, folder: Path) -> None:
        """Draw the rows of a catalogue that are to be compared, into a folder."""
        draw_sample(settings.source, folder, settings.rows, _sample_options(settings, {}))

    @staticmethod
    def catalogue_diff(
        settings: CatalogueSettings,
        champion: Path,
        challenger: Path,
        folder: Path,
        renamed: Mapping[str, str],
        advance: _Advance,
    ) -> CatalogueDiff:
        """Compare two bundles on the rows in a folder, the champion's labels by today's names; goes on after a kill."""
        options = _sample_options(settings, renamed)
        figures = diff_catalogue(champion, challenger, settings.source, folder, settings.rows, options, advance)
        share = proportion_interval(figures.changed, figures.rows)
        return CatalogueDiff(**dict(figures), changed_share_95=share)


def _sample_options(settings: CatalogueSettings, renamed: Mapping[str, str]) -> SampleOptions:
    return SampleOptions(
        settings.image_column, settings.image_root, settings.encoding, settings.allow_hosts, dict(renamed)
    )


@dataclass(frozen=True)
class RunningCycle:
    """A cycle that is worked on, with the settings that it began with.

    Attributes:
        note: called with each remark for a person.
    """

    folder: CycleFolder
    start: CycleStart
    config: RetrainConfig
    registry: Registry
    tools: CycleTools
    note: Callable[[str], None]

    @property
    def cycle_id(self) -> str:
        """The cycle's name in the registry's history."""
        return self.folder.path.name

    @property
    def version(self) -> int:
        """The challenger's version, once it is published."""
        return int(json.loads(self.folder.published.read_bytes())["version"])

    @property
    def comparison(self) -> Comparison:
        """The comparison of champion and challenger."""
        return self.folder.read(self.folder.comparison, Comparison)

    @property
    def compared_with(self) -> int:
        """The version of the champion in the comparison; 0 if there is none."""
        champion = self.comparison.champion
        return int(champion.rpartition("@")[2]) if champion else 0

    def decision(self) -> Event | None:
        """The last event of the challenger in the history: this cycle's decision, or a person's promotion.

        A person's promotion that was rolled back does not count.
        """
        version, rolled_back = self.version, False
        for event in reversed(self.registry.history(self.start.name).events()):
            rolled_back |= event.what is What.ROLLED_BACK
            own = event.cycle == self.cycle_id
            refused = event.what is What.REFUSED and own
            promoted = event.what is What.PROMOTED and (own or not rolled_back)
            if event.version == version and (refused or promoted):
                return event
        return None
