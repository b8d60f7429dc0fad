"""What decides which photos need no person: a promised precision, or a threshold that somebody asked for by name."""

from typing import Final

from models.errors import InputError
from models.manifest import ModelMetadata
from models.statistics.confidence import Thresholds

__all__ = ["precision_text", "promise_text", "rule_text", "thresholds_for"]

_NO_PROMISE: Final = (
    "This model promises no precision: every photo goes to review. Train with more photos, or ask for labels without "
    "a promise with --threshold."
)


def thresholds_for(metadata: ModelMetadata, precision: float | None, threshold: float | None = None) -> Thresholds:
    """The thresholds of a model that rule: a promise's, or what was asked for instead.

    Args:
        metadata: of the model.
        precision: a target of the model's table; the model's own choice where it is not given.
        threshold: of every class, in the place of a promise.

    Returns:
        One for each class. None at all where nothing is promised and no threshold was asked for, whatever the model's
        own are: earlier versions exported 0.5 then, which promises nothing.

    Raises:
        InputError: the model's table does not name this precision, or there is none; the threshold is no probability
            above 0; or both are given.
    """
    if threshold is not None:
        _check_threshold(threshold, precision)
        return (threshold,) * len(metadata.labels)
    if precision is not None:
        return _of_target(metadata, precision)
    return metadata.thresholds if metadata.precision is not None else (None,) * len(metadata.labels)


def _check_threshold(threshold: float, precision: float | None) -> None:
    if precision is not None:
        msg = "Expected --precision or --threshold, got both; a threshold promises no precision, so leave one out."
        raise InputError(msg)
    if not 0 < threshold <= 1:
        msg = f"Expected --threshold to be above 0 and at most 1, got {threshold}."
        raise InputError(msg)


def _of_target(metadata: ModelMetadata, precision: float) -> Thresholds:
    table = {target.precision: target.thresholds for target in metadata.targets}
    if not table:
        msg = (
            f"Expected a table of precisions in the model {metadata.name} for --precision {precision}, it has none; "
            "export it again, of a run that has one, or leave out --precision."
        )
        raise InputError(msg)
    if precision not in table:
        choices = ", ".join(map(precision_text, sorted(table)))
        msg = f"Expected --precision to be one of {choices}, got {precision}."
        raise InputError(msg)
    return table[precision]


def precision_text(precision: float) -> str:
    """With two digits, or with as many as it takes: ``0.90``, ``0.995``."""
    return max(f"{precision:.2f}", str(precision), key=len)


def promise_text(precision: float | None) -> str:
    """What a model promises by its own choice, in a word: ``0.95``, ``none``."""
    return "none" if precision is None else precision_text(precision)


def rule_text(precision: float | None, threshold: float | None, *, all_to_review: bool) -> str:
    """What decides which photos are labeled, in a sentence.

    Args:
        precision: what is promised, if anything is.
        threshold: what was asked for in place of a promise, if anything was.
        all_to_review: whether no class has a threshold.
    """
    if threshold is not None:
        return f"Threshold {threshold}, asked for by --threshold: no precision is promised."
    if precision is not None and all_to_review:
        return f"Precision {precision_text(precision)} can be promised for no class: every photo goes to review."
    if precision is not None:
        return f"Precision: {precision_text(precision)}, expected of the labeled rows."
    if all_to_review:
        return _NO_PROMISE
    return "No precision was promised: an earlier Hangtag labeled photos by the model's own thresholds all the same."
