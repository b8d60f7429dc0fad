"""The request of ``hangtag watch``, and the job requests that follow from it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from catalogue.catalogue import UNSEEN_ROOT, Catalogue
from catalogue.text_file import check_encoding
from catalogue.urls import check_allow_hosts, checked_root, is_url
from models.errors import InputError, JobError
from models.manifest import AUTO
from models.reference import resolve_model
from worker.job.job import Job
from worker.job.jobs import Jobs
from worker.job.model import read_note, verified_pin
from worker.job.writer import _DECISIVE, _flag, _text
from worker.queue.options import EVERY_S, SETTLE_S, Only
from worker.queue.submit import Submitted, submit
from worker.request import SubmitRequest


@dataclass(frozen=True)
class InboxRequest:
    """Watch a folder.

    Attributes:
        folder: an absolute path.
        each: the request for each job, without its source and its name.
        settle_s: seconds that a file must stay the same before it is taken.
        every_s: seconds between looks.
        only: the kind of files that become jobs. Default: both.
    """

    folder: Path
    each: SubmitRequest
    settle_s: float = SETTLE_S
    every_s: float = EVERY_S
    only: Only | None = None

    @property
    def previous_last(self) -> bool:
        """Whether each job of a file takes over results from the last finished job of that file."""
        return self.each.previous == "last"

    @property
    def previous(self) -> str | None:
        """The job that all jobs take over from, if one is named."""
        return None if self.previous_last else self.each.previous

    @property
    def asked(self) -> str:
        """The options that decide whether a catalogue can be used."""
        each = self.each
        options = (each.options.prefix, each.options.group_column)
        names = [list(each.models)] if isinstance(each.model, Mapping) else []
        return json.dumps(
            [each.options.image_column, str(each.options.image_root), each.options.encoding, *options, *names]
        )

    def other_settings(self, job: Job) -> str:
        """Which options a file's job has not, as in ``--image-root was /a, is /b``; empty if it has all of them.

        A model counts as it is asked for: a version that an alias means by now is no other option.
        """
        each, spec = self.each, job.spec
        variants = {AUTO if one.spec.fallback else one.spec.model.variant for one in job.questions}
        asks_variant = each.options.variant != AUTO and variants != {each.options.variant}
        told: dict[str, tuple[object, object]] = {
            "--image-column": (spec.image_column, each.options.image_column or spec.image_column),
            "--image-root": (spec.image_root, self._root),
            "--model": (_models({one.name: _asked_model(one) for one in job.questions}), _models(each.models)),
            "--variant": (" ".join(sorted(variants)), each.options.variant) if asks_variant else ("", ""),
            **{_flag(name): (getattr(spec.options, name), getattr(each.options, name)) for name in _DECISIVE},
        }
        return "; ".join(f"{flag} was {_text(was)}, is {_text(now)}" for flag, (was, now) in told.items() if was != now)

    @property
    def _root(self) -> str:
        """Where relative paths of a catalogue start, as its job has it."""
        root = self.folder if self.each.options.image_root is None else self.each.options.image_root
        return checked_root(str(root)) if is_url(str(root)) else str(Path(root).resolve())

    def of_catalogue(self, source: Path, name: str, previous: str | None) -> SubmitRequest:
        """The request for a file's job; only text files have an encoding."""
        encoding = None if source.suffix.lower() == ".parquet" else self.each.options.encoding
        options = replace(self.each.options, encoding=encoding)
        return replace(self.each, source=source, name=name, previous=previous or self.previous, options=options)

    def of_photos(self, name: str) -> SubmitRequest:
        """The request for a job of photos, which have no column of products."""
        options = replace(self.each.options, group_column=None)
        return replace(self.each, source=self.folder, name=name, previous=self.previous, options=options)


def _asked_model(question: Job) -> str:
    named = read_note(question).named
    return named.asked if named else question.spec.model.path


def _models(models: Mapping[str, Path | str]) -> str:
    """Models as a person gives them: names of a registry, or absolute paths."""
    told = {name: str(Path(model).resolve()) if Path(model).exists() else str(model) for name, model in models.items()}
    return " ".join(f"{name}={model}" if name else model for name, model in told.items())


def check_options(each: SubmitRequest) -> None:
    """Refuse faults of what every job shares: options, model and image root.

    Raises:
        InputError: an option cannot be used, or the image root is not there.
        BundleError: the model is damaged or disagrees with itself on this machine.
        RegistryError: the registry has no such model, version or alias.
    """
    check_allow_hosts(each.options.allow_hosts or ())
    if each.options.encoding is not None:
        check_encoding(each.options.encoding)
    root = each.options.image_root
    if root is not None and is_url(str(root)):
        checked_root(str(root))
    elif root is not None and not Path(root).is_dir():
        msg = f"Expected a folder or a URL as --image-root, found no folder at {root}{UNSEEN_ROOT}."
        raise InputError(msg)
    for model in each.models.values():
        verified_pin(resolve_model(model, each.options.registry).path, each.options)


def make_job(
    request: SubmitRequest,
    jobs: Jobs,
    on_rows: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> Submitted:
    """Submit a job, unless it exists: its name depends on its content, and another watcher may be writing it now.

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
