"""A photo that asks for a split."""

from dataclasses import dataclass
from pathlib import Path

from trainer.data.dataset import Split

__all__ = ["Applicant"]


@dataclass(frozen=True)
class Applicant:
    """A photo that asks for a split.

    Attributes:
        path: the file.
        label: its class, as of today.
        sha256: of the file.
        product: as the person named it, today or before.
        split: given by the person or by an earlier training; none where it is still to be decided.
        group: its name in an earlier training; none for a new photo.
        present: false for a photo of an earlier training that the data lack now.
        fixed: whether an earlier training has decided on the split.
        earlier_label: its class in that training; none for a new photo.
        open: whether the person leaves its split to Hangtag, though others have one.
    """

    path: Path
    label: str
    sha256: str
    product: str | None = None
    split: Split | None = None
    group: str | None = None
    present: bool = True
    fixed: bool = False
    earlier_label: str | None = None
    open: bool = False

    @property
    def relabeled(self) -> bool:
        """Whether the person has corrected its class since."""
        return self.earlier_label not in {None, self.label}
