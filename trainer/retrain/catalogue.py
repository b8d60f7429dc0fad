"""Champion and challenger on real rows, before anything is promoted."""

from collections.abc import Callable, Mapping
from pathlib import Path

from models.statistics.intervals import proportion_interval
from trainer.retrain.config import CatalogueSettings
from trainer.retrain.records import CatalogueDiff
from worker.catalogue_diff.diff import diff_catalogue
from worker.catalogue_diff.sample import SampleOptions, draw_sample

__all__ = ["catalogue_diff", "draw_rows"]


def draw_rows(settings: CatalogueSettings, folder: Path) -> None:
    """Draw the rows now: a catalogue that cannot be used is told before hours of training, not after.

    Args:
        settings: the catalogue.
        folder: the one that :func:`catalogue_diff` will be given.

    Raises:
        InputError: the catalogue cannot be used.
        JobError: it is elsewhere and does not come.
    """
    draw_sample(settings.source, folder, settings.rows, _options(settings, {}))


def catalogue_diff(
    settings: CatalogueSettings,
    champion: Path,
    challenger: Path,
    folder: Path,
    renamed: Mapping[str, str],
    advance: Callable[[str, int, int], None],
) -> CatalogueDiff:
    """What of a catalogue would be labelled otherwise, by a sample of its rows.

    Args:
        settings: the catalogue, and how many of its rows are drawn; the same ones in every cycle while it is the same.
        champion: a bundle.
        challenger: another.
        folder: keeps what is needed to go on after a kill.
        renamed: the champion's labels → what the challenger calls the same: no change.
        advance: told what is being done.

    Raises:
        InputError: the catalogue cannot be used.
        BundleError: a bundle is damaged or disagrees with itself on this machine.
        JobError: it does not come; or no row could be labelled by both.
    """
    options = _options(settings, renamed)
    figures = diff_catalogue(champion, challenger, settings.source, folder, settings.rows, options, advance)
    share = proportion_interval(figures.changed, figures.rows)
    return CatalogueDiff(**dict(figures), changed_share_95=share)


def _options(settings: CatalogueSettings, renamed: Mapping[str, str]) -> SampleOptions:
    return SampleOptions(
        settings.image_column, settings.image_root, settings.encoding, settings.allow_hosts, dict(renamed)
    )
