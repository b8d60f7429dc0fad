"""``check.csv``: a row a photo, with every issue and its score."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from trainer.check.checkup import Checkup
from trainer.check.findings import Findings, issue_of
from trainer.check.issues import Issue
from trainer.data.csv_file import write_rows
from trainer.data.path_cell import path_in

__all__ = ["write_check_csv"]

_SHOWN: Final = ("format", "width", "height", "bytes")
_COLUMNS: Final = (
    *("image", "label", "split", "product", "sha256", *_SHOWN, "picture", "twin", "message"),
    *(column for issue in Issue for column in (f"is_{issue}", f"{issue}_score")),
)


def write_check_csv(path: Path, checkup: Checkup, findings: Findings) -> None:
    """Write a row for each usable photo, in order, then one for each file that is not; paths start at the data."""
    write_rows(path, _COLUMNS, chain(_usable(checkup, findings), _faulty(checkup)))


def _usable(checkup: Checkup, findings: Findings) -> Iterator[list[object]]:
    data, looked, pictures = checkup.dataset.source, checkup.looked, checkup.relations.pictures.tolist()
    shown = [checkup.looks[name].to_pylist() for name in _SHOWN]
    flags = [findings.flags.get(issue) for issue in Issue]
    scores = [findings.scores.get(issue) for issue in Issue]
    for place, (photo, sha256) in enumerate(zip(looked.photos, looked.sha256s, strict=True)):
        twin = findings.twins.get(place)
        row: list[object] = [path_in(data, photo.path), photo.label, photo.split or "", photo.product or "", sha256]
        row += [column[place] for column in shown]
        row += [pictures[place], "" if twin is None else path_in(data, looked.photos[twin].path), ""]
        for flag, score in zip(flags, scores, strict=True):
            row += [_said(flag is not None and bool(flag[place])), "" if score is None else f"{score[place]:.4f}"]
        yield row


def _faulty(checkup: Checkup) -> Iterator[list[object]]:
    for one in checkup.looked.faulty:
        photo, found = one.photo, issue_of(one)
        image = path_in(checkup.dataset.source, photo.path)
        row: list[object] = [image, photo.label, photo.split or "", photo.product or "", ""]
        row += [""] * (len(_SHOWN) + 2) + [one.fault.message]
        for issue in Issue:
            row += [_said(issue is found), "0.0000" if issue is found else ""]
        yield row


def _said(flag: bool) -> str:
    return "true" if flag else "false"
