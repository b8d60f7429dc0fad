"""A bundle in, a record of its models out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from models.benchmark.judge import Judged, Judging, judge
from models.benchmark.lineup import Contestant, Lineup, open_lineup
from models.benchmark.machine import usable_cores
from models.benchmark.measure import THOROUGH, Effort, measure
from models.benchmark.photo_set import PhotoSet, find_photos
from models.benchmark.record import BenchmarkRecord, new_record
from models.bundle import Bundle
from models.golden import GOLDEN_FILE
from models.photo import read_photo

__all__ = ["Show", "benchmark", "open_and_find"]

Show = Callable[[str, int, int], None]
"""Told (what is being done, done, of all)."""
_GOLDEN: Final = "golden/"


def open_and_find(path: Path, images: Path | None) -> tuple[Lineup, PhotoSet | None]:
    """Load what is to be compared, and find the photos to compare it on: what can be refused is refused here.

    Args:
        path: a bundle, or a lone ONNX file.
        images: a folder of class folders, or of photos.

    Raises:
        BundleError: the bundle is damaged.
        InputError: the folder is not as it should be.
    """
    lineup = open_lineup(path, usable_cores())
    return lineup, None if images is None else find_photos(images, lineup.metadata.labels)


def benchmark(
    lineup: Lineup,
    photos: PhotoSet | None,
    effort: Effort = THOROUGH,
    show: Show = lambda what, done, total: None,
) -> BenchmarkRecord:
    """Judge and measure.

    Args:
        lineup: the models.
        photos: to judge them by; without them the bundle's golden photos tell agreement, and its manifest accuracy.
        effort: how much is measured.
        show: told how far it has come.

    Raises:
        BundleError: a model cannot be measured.
        InputError: no photo can be read.
    """
    judging = _judge(lineup, photos, show)
    measured = measure(
        {one.variant: one.path for one in lineup.contestants if not one.edge},
        lineup.metadata.preprocess.size,
        {one.variant: one.path for one in lineup.contestants if one.edge},
        effort,
        on_turn=partial(show, "Measuring"),
    )
    return new_record(lineup.metadata.name, lineup.metadata.version, measured, judging)


def _judge(lineup: Lineup, photos: PhotoSet | None, show: Show) -> Judging | None:
    if photos is not None:
        return _judge_on([partial(read_photo, path) for path in photos.paths], lineup, photos.truths, show)
    if lineup.bundle is None:
        return None
    return _from_manifest(_judge_on(_golden(lineup.bundle), lineup, None, show), lineup.contestants)


def _judge_on(reads: list[Callable[[], bytes]], lineup: Lineup, truths: tuple[int, ...] | None, show: Show) -> Judging:
    count = iter(range(1, len(reads) + 1))
    spec = lineup.metadata.preprocess
    return judge(lineup.contestants, spec, reads, truths, lambda: show("Looking at photos", next(count), len(reads)))


def _golden(bundle: Bundle) -> list[Callable[[], bytes]]:
    names = [name for name in bundle.manifest.files if name.startswith(_GOLDEN) and name != GOLDEN_FILE]
    return [partial(bundle.read, name) for name in names]


def _from_manifest(judging: Judging, contestants: tuple[Contestant, ...]) -> Judging:
    """Agreement as it was found on golden photos, accuracy as it was found at export."""
    known = any(one.accuracy is not None for one in contestants)
    files = tuple(
        Judged(variant=row.variant, file=row.file, accuracy=one.accuracy, agreement=row.agreement)
        for row, one in zip(judging.files, contestants, strict=True)
    )
    return judging.model_copy(
        update={
            "agreement_on": judging.agreement_on and "golden",
            "accuracy_on": "validation" if known else None,
            "files": files,
        }
    )
