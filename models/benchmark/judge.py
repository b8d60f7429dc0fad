"""How often each model is right, and how often it says what float32 says."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from models.benchmark.lineup import REFERENCE, Contestant
from models.errors import ImageError, InputError
from models.preprocess import Pixels, PreprocessSpec, opened, preprocess, whole_rgb
from models.statistics.confidence import Probability

__all__ = ["Judged", "Judging", "judge"]

Labels = npt.NDArray[np.int64]
_UNREAD: Final = -1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Judged(_Record):
    """One ONNX file.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        file: its name.
        accuracy: share of the photos that it labels right; none where nobody knows.
        agreement: share of the photos that it labels as float32's file for squares does; none where
            that file is not there.
    """

    variant: str
    file: str
    accuracy: Probability | None
    agreement: Probability | None


class Judging(_Record):
    """All files, and what they were judged on.

    Attributes:
        photos: how many were looked at.
        unreadable: how many more could not be read.
        agreement_on: the photos that a person gave, or the bundle's golden ones.
        accuracy_on: the photos that a person gave, or the run's validation photos, at export; none where nobody knows.
        files: in the order of what was measured.
    """

    photos: int = Field(ge=0)
    unreadable: int = Field(ge=0)
    agreement_on: Literal["images", "golden"] | None
    accuracy_on: Literal["images", "validation"] | None
    files: Annotated[tuple[Judged, ...], Field(strict=False)]


def judge(
    contestants: Sequence[Contestant],
    spec: PreprocessSpec,
    photos: Iterable[Callable[[], bytes]],
    truths: Sequence[int] | None,
    on_photo: Callable[[], None] = lambda: None,
) -> Judging:
    """Show photos to every model.

    Args:
        contestants: the models.
        spec: what makes squares of photos; edge graphs are given the whole photo.
        photos: what reads each photo's bytes.
        truths: the index of each photo's label; none where nobody has said.
        on_photo: told after each photo.

    Raises:
        InputError: no photo could be read.
    """
    labels = np.array([_labels(contestants, spec, photo, on_photo) for photo in photos], np.int64)
    labels = labels.reshape(-1, len(contestants))
    read = labels[:, 0] != _UNREAD
    if not read.any():
        msg = f"Expected photos to judge by, none of {len(labels):,} could be read; name others with --images."
        raise InputError(msg)
    right = None if truths is None else np.asarray(truths, np.int64)[read]
    reference = _reference(contestants, labels[read])
    return Judging(
        photos=int(read.sum()),
        unreadable=int((~read).sum()),
        agreement_on=None if reference is None else "images",
        accuracy_on=None if right is None else "images",
        files=tuple(
            Judged(
                variant=one.variant,
                file=one.path.name,
                accuracy=_share(said, right),
                agreement=_share(said, reference),
            )
            for one, said in zip(contestants, labels[read].T, strict=True)
        ),
    )


def _labels(
    contestants: Sequence[Contestant], spec: PreprocessSpec, photo: Callable[[], bytes], on_photo: Callable[[], None]
) -> list[int]:
    try:
        square, whole = _seen(photo(), spec, any(one.edge for one in contestants))
    except ImageError:
        return [_UNREAD] * len(contestants)
    finally:
        on_photo()
    return [one.label(square, whole) for one in contestants]


def _seen(data: bytes, spec: PreprocessSpec, edge: bool) -> tuple[Pixels, Pixels]:
    """A photo as a square, and as a whole where that is wanted."""
    square = preprocess(data, spec)
    if not edge:
        return square, square
    with opened(data) as image:
        return square, np.asarray(whole_rgb(image))


def _reference(contestants: Sequence[Contestant], labels: Labels) -> Labels | None:
    """What float32's file for squares said; none where it is not there."""
    found = [column for one, column in zip(contestants, labels.T, strict=True) if one.variant == REFERENCE]
    return found[0] if found and not contestants[0].edge else None


def _share(said: Labels, wanted: Labels | None) -> float | None:
    return None if wanted is None else float(np.mean(said == wanted))
