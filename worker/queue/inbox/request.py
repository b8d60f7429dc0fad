"""What a person asks of ``hangtag submit --watch``, and the jobs that this asks for."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.errors import InputError, JobError
from models.reference import resolve_model
from worker.jobs import Jobs
from worker.model import verified_pin
from worker.photos.address import check_allow_hosts
from worker.places import checked_root, is_url
from worker.queue.options import Only
from worker.queue.submit import SubmitRequest, Submitted, submit
from worker.sources.catalogue import Catalogue
from worker.sources.text_file import check_encoding

__all__ = ["InboxRequest", "check_options", "make_job", "watched"]

SETTLE_S: Final = 5.0
EVERY_S: Final = 2.0
_LAST: Final = "last"
"""As ``--previous``: the last finished job of the same file."""


@dataclass(frozen=True)
class InboxRequest:
    """Watch a folder.

    Attributes:
        folder: an absolute path.
        each: what each job is asked to be; its source and its name are filled in.
        settle_s: how long a file must stay the same before it is taken.
        every_s: how long to pause between looks.
        only: which files become jobs; both kinds where nothing is said.
        previous_last: whether each job of a file takes over what the last finished one of that file knows.
    """

    folder: Path
    each: SubmitRequest
    settle_s: float = SETTLE_S
    every_s: float = EVERY_S
    only: Only | None = None
    previous_last: bool = False

    def of(self, source: Path, name: str, previous: str | None) -> SubmitRequest:
        """The request for one job; only text files have an encoding."""
        encoding = None if source.suffix.lower() == ".parquet" else self.each.encoding
        previous = previous or self.each.previous
        return replace(self.each, source=source, name=name, previous=previous, encoding=encoding)

    @property
    def asked(self) -> str:
        """All that may decide whether a catalogue can be used."""
        each = self.each
        options = (each.options.prefix, each.options.group_column)
        return json.dumps([each.image_column, str(each.image_root), each.encoding, *options])


def watched(
    folder: Path, each: SubmitRequest, only: Only | None, settle_s: float | None, every_s: float | None
) -> InboxRequest:
    """The request of a person, who may say ``last`` for the previous job; None stands for the default."""
    last = each.previous == _LAST
    return InboxRequest(
        folder=folder.resolve(),
        each=replace(each, previous=None if last else each.previous),
        settle_s=SETTLE_S if settle_s is None else settle_s,
        every_s=EVERY_S if every_s is None else every_s,
        only=only,
        previous_last=last,
    )


def check_options(each: SubmitRequest) -> None:
    """Refuse what every job needs and no file could be blamed for.

    Raises:
        InputError: an option cannot be used, or the image root is not there.
        BundleError: the model is damaged or disagrees with itself on this machine.
        RegistryError: the registry has no such model, version or alias.
    """
    check_allow_hosts(each.options.allow_hosts or ())
    if each.encoding is not None:
        check_encoding(each.encoding)
    root = each.image_root
    if root is not None and is_url(str(root)):
        checked_root(str(root))
    elif root is not None and not Path(root).is_dir():
        msg = f"Expected a folder or a URL as --image-root, found no folder at {root}."
        raise InputError(msg)
    verified_pin(resolve_model(each.model, each.registry).path, each.variant, each.options)


def make_job(
    request: SubmitRequest, jobs: Jobs, on_rows: Callable[[int], None], catalogue: Catalogue | None = None
) -> Submitted:
    """Submit, unless the job is there: its name says what it is made of, and somebody else may be making it now.

    Raises:
        InputError: the source or an option cannot be used.
        BundleError: the model is damaged or disagrees with itself on this machine.
        JobError: rows of another job are under that name, or the job is damaged.
    """
    job = jobs.get(request.name)
    if job is None:
        try:
            return submit(request, jobs, on_rows, catalogue)
        except JobError:
            job = jobs.get(request.name)
            if job is None:
                raise
    return Submitted(request.name, job, new=False)
