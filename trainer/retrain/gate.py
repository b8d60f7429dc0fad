"""The gate: what a challenger must keep to before it becomes the champion."""

from trainer.retrain.accuracy_checks import accuracy_checks, check_calibration, check_min_accuracy, check_test_photos
from trainer.retrain.automation_checks import check_coverage, check_precision
from trainer.retrain.class_checks import check_new_classes, check_recall, check_vanished_classes
from trainer.retrain.config import GateSettings
from trainer.retrain.cost_checks import check_catalogue, cost_checks
from trainer.retrain.records import CatalogueDiff, Check, Comparison, Verdict

__all__ = ["judge"]


def judge(settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> Verdict:
    """Judge a challenger. Pure: the same figures and limits give the same verdict.

    Args:
        settings: the limits; to loosen one never makes a check fail.
        comparison: with the champion, or of a first model, which keeps to the absolute limits alone.
        catalogue: what would change there; none where nobody looked.

    Returns:
        A check for each thing that can be judged, each with a sentence that holds the figures. Without test photos
        nothing passes.
    """
    checks: tuple[Check | None, ...] = (
        check_test_photos(settings, comparison),
        *accuracy_checks(settings, comparison),
        check_recall(settings, comparison),
        check_new_classes(settings, comparison),
        check_vanished_classes(comparison),
        check_min_accuracy(settings, comparison),
        check_calibration(settings, comparison),
        check_coverage(settings, comparison),
        check_precision(comparison),
        *cost_checks(settings, comparison),
        check_catalogue(settings, comparison, catalogue),
    )
    return Verdict(checks=tuple(check for check in checks if check is not None))
