"""The precision that a person asks for, and the thresholds that keep it."""

from models.confidence import Thresholds
from models.errors import InputError
from models.manifest import ModelMetadata

__all__ = ["all_to_review_text", "precision_text", "thresholds_for"]


def thresholds_for(metadata: ModelMetadata, precision: float | None) -> Thresholds:
    """The thresholds of a model for a precision.

    Args:
        metadata: of the model.
        precision: a target of the model's table; the model's own thresholds where it is not given.

    Raises:
        InputError: the model's table does not name this precision, or there is none.
    """
    if precision is None:
        return metadata.thresholds
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


def all_to_review_text(precision: float | None) -> str:
    """What a person must know of a model none of whose classes has a threshold."""
    kept = f"Precision {precision_text(precision)}" if precision is not None else "This model's own precision"
    return f"{kept} can be promised for no class: every photo goes to review."
