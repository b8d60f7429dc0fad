"""What a training leaves besides the network: how good it is, how sure it may be, and pages to look at."""

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Protocol

import keras

from models.whole_file import replace_file
from trainer.data.dataset import Split
from trainer.judging.evaluate import Evaluation, Judged, Predictions, confusion, evaluate
from trainer.judging.folds import Fold
from trainer.judging.judge import Verdict, judge, write_predictions
from trainer.judging.label_errors import LabelIssue, doubted_labels, write_label_issues
from trainer.learning.training import Lesson
from trainer.report.material import ReportMaterial, Speed
from trainer.report.model_card import model_card
from trainer.report.page import report_page
from trainer.report.pictures import heat_maps, last_spatial_layer, plot_confusion, plot_history
from trainer.run import read_history
from trainer.splits.prepare import Prepared

__all__ = ["LeaveView", "leave"]

_PARTS = 4


class LeaveView(Protocol):
    """Who is told what is being done."""

    def advance(self, what: str, done: int, total: int) -> None:
        """So much of a piece of work is done."""


def leave(lesson: Lesson, prepared: Prepared, folds: Sequence[Fold], seconds: float, view: LeaveView) -> Evaluation:
    """Judge the best network on validation and test, learn how sure it may be, and write it all down.

    Args:
        lesson: that was taught; its ``args`` as they are to be.
        prepared: the data.
        folds: what other networks said of training photos that they had not seen; may be none.
        seconds: that the training took.
        view: told what is being done.
    """
    network = keras.saving.load_model(lesson.run.best, compile=False)
    view.advance("Judging", 0, _PARTS)
    verdict = judge(network, lesson, prepared, folds)
    evaluation = _write_figures(lesson, verdict)
    view.advance("Looking for wrong labels", 1, _PARTS)
    issues = doubted_labels(network, lesson)
    write_label_issues(lesson.run.label_issues, issues, Path(lesson.args.data))
    view.advance("Drawing", 2, _PARTS)
    _draw(lesson, verdict)
    view.advance("Writing the report", 3, _PARTS)
    material = _material(network, lesson, prepared, verdict, evaluation, issues, seconds)
    replace_file(lesson.run.report, report_page(material).encode())
    replace_file(lesson.run.model_card, model_card(material).encode())
    return evaluation


def _write_figures(lesson: Lesson, verdict: Verdict) -> Evaluation:
    run, classes = lesson.run, lesson.args.classes
    head = BytesIO()
    verdict.out_of_distribution.head.write(head)
    replace_file(run.unknown, head.getvalue())
    val, test = (_predictions(verdict.judged.get(split)) for split in (Split.VAL, Split.TEST))
    evaluation = evaluate(classes, verdict.confidence, val, test)
    replace_file(run.evaluation, evaluation.model_dump_json(indent=1).encode())
    write_predictions(run.predictions, verdict.judged, verdict.confidence, classes, Path(lesson.args.data))
    # Last: an export needs it, and only then is all of this of best.keras.
    replace_file(run.confidence, verdict.confidence.model_dump_json(indent=1).encode())
    return evaluation


def _predictions(judged: Judged | None) -> Predictions | None:
    return None if judged is None else Predictions(judged.logits, judged.labels, judged.unknown)


def _draw(lesson: Lesson, verdict: Verdict) -> None:
    run, classes = lesson.run, lesson.args.classes
    split = Split.TEST if Split.TEST in verdict.judged else Split.VAL
    judged = verdict.judged[split]
    matrix = confusion(judged.probabilities, judged.labels, len(classes))
    plot_confusion(matrix, classes, f"{lesson.args.name}: {split}", run.path / "confusion_matrix.png")
    plot_history(read_history(run.history), run.path / "results.png")


def _material(
    network: keras.Model,
    lesson: Lesson,
    prepared: Prepared,
    verdict: Verdict,
    evaluation: Evaluation,
    issues: Sequence[LabelIssue],
    seconds: float,
) -> ReportMaterial:
    run, history = lesson.run, read_history(lesson.run.history)
    waited = sum(row.waiting * row.seconds for row in history) / sum(row.seconds for row in history)
    heat_name = last_spatial_layer(network)
    return ReportMaterial(
        args=lesson.args,
        prepared_counts={split: Counter(photo.label for photo in prepared.of(split)) for split in Split},
        notes=prepared.notes,
        excluded=prepared.excluded,
        history=history,
        judged=verdict.judged,
        confidence=verdict.confidence,
        evaluation=evaluation,
        issues=issues,
        speed=Speed(
            parameters=network.count_params(),
            model_bytes=run.best.stat().st_size,
            images_per_s=verdict.images_per_s,
            threads=verdict.threads,
            train_seconds=seconds,
            waiting=waited,
        ),
        train_batch=run.train_batch.read_bytes(),
        pixels=lesson.store.take,
        heat=lambda pixels, classes: heat_maps(network, heat_name, pixels, classes),
    )
