"""A model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993) as Markdown: what is known, and what is not."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final

from markupsafe import Markup

from exporter.markdown import code, render_markdown
from models.statistics.confidence import PrecisionTarget
from models.text import number_of
from pages.text import between, percent, rounded, target_name
from trainer.data.dataset import Split
from trainer.judging.evaluate import Judged
from trainer.judging.figures import AchievedPrecision, ClassFigures, distances_text, weakest
from trainer.report.material import ReportMaterial

_FEW_PHOTOS: Final = 30
_TEMPLATE: Final = Path(__file__).with_name("model_card.md")


def model_card(material: ReportMaterial) -> str:
    """The contents of a run's ``README.md``; the training has one whole epoch or more."""
    args, split, figures, counts = material.args, material.split, material.figures, material.prepared_counts
    splits = [one for one in Split if one in counts]
    photos = {one.word: sum(counts[one].values()) for one in splits}
    learned = counts.get(Split.TRAIN, {})
    few = sorted((learned.get(name, 0), name) for name in args.classes if learned.get(name, 0) < _FEW_PHOTOS)
    classes = figures.classes if figures else {}
    return render_markdown(
        _TEMPLATE,
        material=material,
        args=args,
        split=split,
        bundle=f"bundles/{args.name}",
        asked=f" --precision {material.ruling.precision:.2f}" if material.ruling else "",
        figures=list(_figures(material)),
        ece_before=material.evaluation.ece_before.of(split),
        by_class=_by_class(classes),
        targets=_targets(material),
        levels=_levels(material),
        away=distances_text(away.of(material.split) or {}) if (away := material.evaluation.distances) else "",
        on_test=("right on test photos",) if Judged.TEST in material.judged else (),
        few_photos=_FEW_PHOTOS,
        few=[f"{name} ({count})" for count, name in few],
        weak=[f"{name} ({percent(classes[name].recall)})" for name in (weakest(figures) if figures else ())],
        unmeasured=[name for name, one in classes.items() if not one.support],
        unknown=material.confidence.unknown,
        percent=percent,
        photos=sum(photos.values()),
        source=PurePath(args.data).name,
        parts=", ".join(f"{count:,} for {word}" for word, count in photos.items()),
        set_aside=Counter(one.reason for one in material.excluded).most_common(),
        words=list(photos),
        counts=[(one, *(f"{counts[of].get(one, 0):,}" for of in splits)) for one in args.classes],
        settings=[(code(name), _without_folder(value)) for name, value in material.settings.items()],
        number_of=number_of,
        quote=shlex.quote,
        ascii=ascii,
    )


def _figures(material: ReportMaterial) -> Iterator[tuple[str, ...]]:
    for split in reversed(Judged):
        if one := material.evaluation.figures_of(split):
            accuracy = f"{percent(one.accuracy)} ({between(one.accuracy_95)})"
            top5 = percent(one.top5) if one.top5 is not None else "–"
            means = (percent(mean) for mean in (one.precision, one.recall, one.f1))
            yield split.word, f"{one.n:,}", accuracy, *means, top5, f"{one.ece:.3f}"


def _three(figures: ClassFigures) -> tuple[str, str, str]:
    return (
        f"{percent(figures.precision)} ({between(figures.precision_95)})",
        f"{percent(figures.recall)} ({between(figures.recall_95)})",
        f"{percent(figures.f1)} ({between(figures.f1_95)})",
    )


def _by_class(classes: Mapping[str, ClassFigures]) -> list[tuple[str, ...]]:
    order = sorted((one.f1, name) for name, one in classes.items() if one.support)
    return [(name, f"{classes[name].support:,}", *_three(classes[name])) for _, name in order]


def _targets(material: ReportMaterial) -> list[tuple[str, ...]]:
    targets = material.confidence.targets
    return [_target_row(material, one) for one in targets] if any(one.coverage for one in targets) else []


def _target_row(material: ReportMaterial, target: PrecisionTarget) -> tuple[str, ...]:
    name = target_name(target.precision)
    asked = Markup("**{}**").format(name) if target is material.ruling else name
    row = (asked, rounded(target.coverage), rounded(1 - target.coverage))
    if Judged.TEST not in material.judged:
        return row
    return *row, _right(material.realised(target, Judged.TEST))


def _right(achieved: AchievedPrecision | None) -> str:
    if not achieved or not achieved.automatic or achieved.precision is None:
        return "–"
    return f"{percent(achieved.precision)} ({between(achieved.precision_95)}) of {achieved.automatic:,}"


def _levels(material: ReportMaterial) -> list[tuple[str, ...]]:
    is_tested = Judged.TEST in material.judged
    return [
        (target_name(one.precision), one.level, rounded(one.expected), *([_right(one.found)] if is_tested else []))
        for one in material.evaluation.by_level(Judged.TEST)
    ]


def _without_folder(value: str) -> str:
    """A path without its folder: a card may be published, and must not tell where files lay."""
    path = PurePath(value)
    return path.name if path.is_absolute() else value
