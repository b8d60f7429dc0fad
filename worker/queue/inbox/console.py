"""How a watched folder looks on a terminal, or to a machine."""

import json
from typing import Protocol

from rich.text import Text

from models.terminal import Console
from models.text import number_of
from worker.queue.submit import Submitted

__all__ = ["InboxView", "inbox_view"]


class InboxView(Protocol):
    """Shows what becomes of the files of a watched folder, each thing once."""

    def begins(self, folder: str, jobs: str) -> None:
        """From now on the folder is watched."""

    def submitted(self, what: str, submitted: Submitted) -> None:
        """A file, or so many photos, became a job."""

    def refused(self, file: str, reason: str) -> None:
        """There can be no job of a file as it is."""

    def trouble(self, what: str, reason: str) -> None:
        """Something failed that is tried again."""

    def left_out(self, file: str, reason: str) -> None:
        """A file is not looked at, nor are others of its kind."""

    def remark(self, line: str) -> None:
        """Something stands in the way of a job that is there."""


def inbox_view(*, as_json: bool) -> InboxView:
    """For people: jobs on stdout, all else on stderr; for machines: a JSON line an event on stdout."""
    return _JsonLines() if as_json else _Lines()


class _Lines:
    """A line a job, with its rows; and a line for each thing that is wrong."""

    def __init__(self) -> None:
        self._console = Console()
        self._errors = Console(stderr=True)

    def begins(self, folder: str, jobs: str) -> None:
        """See :class:`InboxView`."""
        self._say(f"Watching {folder} for {jobs}; Ctrl-C ends it.", "dim")

    def submitted(self, what: str, submitted: Submitted) -> None:
        """See :class:`InboxView`."""
        spec = submitted.job.spec
        size = f"{number_of(spec.rows, 'row')} in {number_of(spec.chunks, 'chunk')}"
        was_there = "" if submitted.new else " (was submitted before)"
        taken = f", with {submitted.model.said}" if submitted.model and submitted.model.asked else ""
        line = Text.assemble(what, " → ", (submitted.name, "bold"), f", {size}{taken}{was_there}")
        self._console.print(line, highlight=False, soft_wrap=True)

    def refused(self, file: str, reason: str) -> None:
        """See :class:`InboxView`."""
        self._say(f"{file} was refused: {reason}", "red")

    def trouble(self, what: str, reason: str) -> None:
        """See :class:`InboxView`."""
        self._say(f"{what}: {reason} It is tried again.", "yellow")

    def left_out(self, file: str, reason: str) -> None:
        """See :class:`InboxView`."""
        self._say(f"{file} is left out, and all others like it: {reason}.", "yellow")

    def remark(self, line: str) -> None:
        """See :class:`InboxView`."""
        self._say(line, "yellow")

    def _say(self, line: str, style: str) -> None:
        self._errors.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


class _JsonLines:
    """An object a line: ``event``, and what it is about."""

    def begins(self, folder: str, jobs: str) -> None:
        """See :class:`InboxView`."""
        _print("watching", folder=folder, jobs=jobs)

    def submitted(self, what: str, submitted: Submitted) -> None:
        """See :class:`InboxView`."""
        spec = submitted.job.spec
        record = {"job": submitted.name, "new": submitted.new, "folder": submitted.job.storage.place}
        taken = {"model": submitted.model.said} if submitted.model else {}
        _print("submitted", file=what, **record, rows=spec.rows, chunks=spec.chunks, **taken)

    def refused(self, file: str, reason: str) -> None:
        """See :class:`InboxView`."""
        _print("refused", file=file, reason=reason)

    def trouble(self, what: str, reason: str) -> None:
        """See :class:`InboxView`."""
        _print("trouble", file=what, reason=reason)

    def left_out(self, file: str, reason: str) -> None:
        """See :class:`InboxView`."""
        _print("left_out", file=file, reason=reason)

    def remark(self, line: str) -> None:
        """See :class:`InboxView`."""
        _print("remark", reason=line)


def _print(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}, ensure_ascii=True), flush=True)
