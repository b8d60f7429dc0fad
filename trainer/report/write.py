"""Writes the files of a training: reports, and files for an export."""

import hashlib
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path, PurePath
from typing import Final

import keras
import numpy as np
from markupsafe import Markup

from exporter.markdown import code, render_markdown
from exporter.training_run import ORIGINALS
from models.decision import Rules, Scores
from models.errors import ImageError
from models.photo import evenly, read_photo
from models.process import usable_cores
from models.statistics.confidence import Confidence, PrecisionTarget
from models.statistics.thresholds import HeldOutLogits
from models.taxonomy import Taxonomy
from models.text import number_of
from models.whole_file import replace_file, write_arrays
from pages.charts import matrix_png
from pages.render import near
from pages.text import between, percent, rounded, target_name
from trainer.data.csv_files import path_in, write_rows
from trainer.data.dataset import Split
from trainer.judging.evaluate import CalibratedPredictions, Evaluation, Judged, SplitPredictions, evaluate, judge
from trainer.judging.figures import AchievedPrecision, ClassFigures, distances_text, weakest
from trainer.judging.label_errors import LabelErrors, LabelIssue, find_label_errors
from trainer.learning.training import Predictor, Training, labels_of
from trainer.report.material import ReportMaterial, Speed
from trainer.report.page import first_photos, heat_maps, report_page
from trainer.run import EpochFigures, Run, read_history
from trainer.splits.assigned import AssignedPhoto, group_numbers
from trainer.splits.prepare import Prepared

_FEW_PHOTOS: Final = 30
_TEMPLATE: Final = Path(__file__).with_name("model_card.md")


def model_card(material: ReportMaterial) -> str:
    """The contents of a run's ``README.md``. Needs at least one complete epoch."""
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
        by_class=list(_by_class(classes)),
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
        if one := material.evaluation.of(split):
            accuracy = f"{percent(one.accuracy)} ({between(one.accuracy_95)})"
            top5 = percent(one.top5) if one.top5 is not None else "–"
            means = (percent(mean) for mean in (one.precision, one.recall, one.f1))
            yield split.word, f"{one.n:,}", accuracy, *means, top5, f"{one.ece:.3f}"


def _by_class(classes: Mapping[str, ClassFigures]) -> Iterator[tuple[str, ...]]:
    for name, one in sorted(classes.items(), key=lambda item: (item[1].f1, item[0])):
        if one.support:
            yield name, f"{one.support:,}", *(f"{percent(rate)} ({between(interval)})" for rate, interval in one.rates)


def _targets(material: ReportMaterial) -> list[tuple[str, ...]]:
    targets = material.confidence.targets
    return [_target_row(material, one) for one in targets] if any(one.coverage for one in targets) else []


def _target_row(material: ReportMaterial, target: PrecisionTarget) -> tuple[str, ...]:
    name = target_name(target.precision)
    shown_name = Markup("**{}**").format(name) if target is material.ruling else name
    row = (shown_name, rounded(target.coverage), rounded(1 - target.coverage))
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
        (target_name(one.precision), one.level, rounded(one.expected), *([_right(one.measured)] if is_tested else []))
        for one in material.evaluation.by_level(Judged.TEST)
    ]


def _without_folder(value: str) -> str:
    """Shorten an absolute path to its last part, because model cards are published."""
    path = PurePath(value)
    return path.name if path.is_absolute() else value


_COLUMNS: Final = ("image", "split", "label", "predicted", "confidence", "unknown", "status")
_ISSUE_COLUMNS: Final = ("image", "split", "label", "suggested", "score", "label_probability", "suggested_probability")
_CLASS_COLUMNS: Final = (
    *("split", "label", "photos"),
    *(name + end for name in ("precision", "recall", "f1") for end in ("", "_low", "_high")),
)
_PARTS: Final = 4
_TRAIN_SAMPLE: Final = 512
_VAL_SAMPLE: Final = 5_000


def write_report(
    training: Training,
    prepared: Prepared,
    folds: Sequence[HeldOutLogits],
    seconds: float,
    advance: Callable[[str, int, int], None],
    predictor: Predictor | None = None,
) -> Evaluation:
    """Evaluate the best network on validation and test, compute its thresholds, and write the reports.

    ``folds`` are the folds' predictions for held-out photos. ``seconds`` is the duration of the
    training. ``advance`` receives the name of the step, the progress and the total. ``predictor`` is the best network,
    if already loaded.
    """
    run, args, history = training.run, training.args, read_history(training.run.history)
    predictor = predictor or Predictor(keras.saving.load_model(run.best, compile=False), training.store)
    advance("Judging", 0, _PARTS)
    calibrated = judge(predictor, training, prepared, folds)
    advance("Looking for label errors", 1, _PARTS)
    errors = find_label_errors(predictor, training, calibrated.out_of_fold)
    write_label_issues(run.label_issues, errors.issues, Path(args.data))
    evaluation = _write_figures(training, calibrated, errors)
    advance("Drawing", 2, _PARTS)
    material = ReportMaterial(
        args=args,
        prepared_counts={split: Counter(photo.label for photo in prepared.of(split)) for split in Split},
        notes=prepared.notes,
        excluded=prepared.excluded,
        history=history,
        judged=calibrated.judged,
        confidence=calibrated.confidence,
        evaluation=evaluation,
        issues=errors.issues,
        speed=_speed(predictor, training, history, seconds),
        train_batch=first_photos(training),
        pixels=training.store.take,
        heat=partial(heat_maps, predictor.network),
    )
    advance("Writing the report", 3, _PARTS)
    _write_pages(run, material)
    return evaluation


def _write_pages(run: Run, material: ReportMaterial) -> None:
    replace_file(run.model_card, model_card(material).encode())
    replace_file(run.path / "confusion_matrix.png", matrix_png(material.matrix, material.args.classes))
    links = {
        "Model card": run.model_card,
        "Predictions": run.predictions,
        "Label errors": run.label_issues,
        "Classes": run.path / "classes.csv",
        "Splits": run.splits,
        "Figures (JSON)": run.evaluation,
    }
    replace_file(run.report, report_page(material, near(run.report, links)).encode())


def _write_figures(training: Training, calibrated: CalibratedPredictions, errors: LabelErrors) -> Evaluation:
    run, classes = training.run, training.args.classes
    head = BytesIO()
    calibrated.out_of_distribution.head.write(head)
    replace_file(run.unknown, head.getvalue())
    tree = training.args.tree
    evaluation = evaluate(
        classes, calibrated.confidence, calibrated.judged, training.args.folds, calibrated.outliers, tree
    )
    evaluation = evaluation.model_copy(update={"label_issues": len(errors.issues), "unlisted": errors.unlisted})
    replace_file(run.evaluation, evaluation.model_dump_json(indent=1).encode())
    write_rows(run.class_figures, _CLASS_COLUMNS, _class_rows(evaluation))
    write_predictions(
        run.predictions, calibrated.judged, calibrated.confidence, classes, Path(training.args.data), tree
    )
    # Write this file last: an export fails without it, so it cannot mix files of two networks.
    replace_file(run.confidence, calibrated.confidence.model_dump_json(indent=1).encode())
    return evaluation


def _class_rows(evaluation: Evaluation) -> Iterator[Sequence[object]]:
    for judged in Judged:
        for label, one in figures.classes.items() if (figures := evaluation.of(judged)) else ():
            cells = [f"{value:.6f}" for rate, interval in one.rates for value in (rate, *interval)]
            yield judged.value, label, one.support, *(cells if one.support else [""] * len(cells))


def write_predictions(
    path: Path,
    judged: Mapping[Judged, SplitPredictions],
    confidence: Confidence,
    classes: Sequence[str],
    data: Path,
    tree: Taxonomy | None = None,
) -> None:
    """Write ``predictions.csv``, with a row for each validation and test photo. Paths are relative to ``data``.

    ``status`` applies the default precision. If there is a tree, the last columns are ``answer`` and ``label_level``.
    """
    limit = confidence.unknown.limit if confidence.unknown else None
    nodes = confidence.ruling.nodes if confidence.ruling else {}
    rules = Rules(tuple(classes), confidence.ruling_thresholds(len(classes)), limit, tree, nodes)
    write_rows(
        path,
        (*_COLUMNS, *(("answer", "label_level") if tree else ())),
        (row for part in (Judged.VAL, Judged.TEST) if part in judged for row in _rows(part, judged[part], rules, data)),
    )


def write_label_issues(path: Path, issues: Sequence[LabelIssue], data: Path) -> None:
    """Write ``label_issues.csv``. Paths are relative to ``data`` (a folder or a CSV)."""
    rows = (
        (
            path_in(data, issue.photo.path),
            issue.photo.split,
            issue.photo.label,
            issue.suggested,
            *(f"{figure:.4f}" for figure in (issue.score, issue.given_probability, issue.suggested_probability)),
        )
        for issue in issues
    )
    write_rows(path, _ISSUE_COLUMNS, rows)


def _rows(split: Judged, judged: SplitPredictions, rules: Rules, data: Path) -> Iterator[Sequence[object]]:
    decided = rules.decide(Scores(judged.probabilities, judged.unknown), top_k=1).rows()
    for photo, prediction in zip(judged.photos, decided, strict=True):
        image, unknown = path_in(data, photo.path), "" if prediction.unknown is None else f"{prediction.unknown:.6g}"
        status = "review" if prediction.review else "labeled"
        guess, confidence = prediction.top_k[0]
        answer = () if prediction.leaf_guess is None else (prediction.label, prediction.label_level)
        yield image, split.value, photo.label, guess, f"{confidence:.6f}", unknown, status, *answer


def _speed(predictor: Predictor, training: Training, history: Sequence[EpochFigures], seconds: float) -> Speed:
    return Speed(
        parameters=predictor.network.count_params(),
        model_bytes=training.run.best.stat().st_size,
        images_per_s=predictor.images_per_s([photo.sha256 for photo in training.held]),
        threads=usable_cores(),
        train_seconds=seconds,
        waiting=sum(row.waiting * row.seconds for row in history) / sum(row.seconds for row in history),
    )


def keep_for_export(training: Training) -> None:
    """Copy the photos that a later export needs, because the data may be gone by then.

    Copies pixels of some validation and training photos, and files of fewer validation photos.
    """
    run = training.run
    held = [training.held[i] for i in evenly(len(training.held), _VAL_SAMPLE)]
    chosen = np.random.default_rng(training.args.seed).permutation(len(training.photos))[:_TRAIN_SAMPLE]
    samples = {"val": held, "train_sample": [training.photos[i] for i in chosen]}
    for name, photos in samples.items():
        write_arrays(
            run.path / "export" / f"{name}.npz",
            pixels=training.store.take([photo.sha256 for photo in photos]),
            labels=labels_of(photos, training.args.classes),
            groups=group_numbers(photos),
        )
    run.originals.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(held[i] for i in evenly(len(held), ORIGINALS)):
        data = _bytes_of(photo)
        if data is not None:
            (run.originals / f"{number:03d}{photo.path.suffix.lower()}").write_bytes(data)


def _bytes_of(photo: AssignedPhoto) -> bytes | None:
    """The bytes of a photo, or None if its file is gone or has changed."""
    try:
        data = read_photo(photo.path)
    except ImageError:
        return None
    return data if hashlib.sha256(data).hexdigest() == photo.sha256 else None
