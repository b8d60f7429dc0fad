"""How a watched folder looks on a terminal, or to a machine."""

import json
from collections.abc import Sequence
from shlex import quote
from typing import Final

from rich.text import Text

from models.terminal import Console
from models.text import number_of
from worker.queue.inbox.catalogues import Skipped
from worker.queue.submit import Submitted

_LISTED: Final = 5
"""Names of files in a line."""


class InboxView:
    """Reports each event of a file once: jobs on stdout and the rest on stderr, or a JSON line an event."""

    def __init__(self, *, as_json: bool, once: bool = False) -> None:
        self._as_json = as_json
        self._console = Console()
        self._errors = Console(stderr=True)
        self._terse = once and (as_json or not self._errors.is_terminal)
        """Cron starts it again and again: what is as it was is not said each time."""

    def begins(self, folder: str, jobs: str) -> None:
        """Report that the folder is watched from now on."""
        self._say("watching", f"Watching {folder}; jobs go to {jobs}. Ctrl-C ends it.", "dim", folder=folder, jobs=jobs)

    def submitted(self, what: str, submitted: Submitted) -> None:
        """Report that a file, or some photos, became a job."""
        for words in filter(None, (submitted.variant_words, submitted.unseen_words)):
            self.remark(words)
        for model in (question.model for question in submitted.job.questions):
            if model.precision is not None and model.all_to_review:
                self.remark(model.rule)
        if self._as_json:
            _print_event("submitted", file=what, **submitted.record)
            return
        was_there = "" if submitted.new else " (was submitted before)"
        said = [one.found.said for one in submitted.models if one.found.asked]
        with_model = f", with {', '.join(said)}" if said else ""
        line = Text.assemble(what, " → ", (submitted.name, "bold"), f", {submitted.size}{with_model}{was_there}")
        self._console.print(line, highlight=False, soft_wrap=True)

    def refused(self, file: str, reason: str) -> None:
        """Report that no job can be made of a file."""
        self._say("refused", f"{file} was refused: {reason}", "red", file=file, reason=reason)

    def skipped(self, files: Sequence[Skipped]) -> None:
        """Report files that were submitted or refused before; in few lines, since there may be many."""
        told = [one for one in files if one.other_options or not self._terse]
        if self._as_json:
            for one in told:
                _print_event("skipped", file=one.place.name, job=one.job, reason=one.why)
            return
        alike: dict[tuple[bool, str], list[Skipped]] = {}
        for one in told:
            alike.setdefault((one.job is None, one.why), []).append(one)
        for (refused, why), some in alike.items():
            self._errors.say(_refused_line(some) if refused else _taken_line(some), "yellow" if why else "dim")

    def skipped_photos(self, count: int) -> None:
        """Report how many photos were submitted before."""
        if not self._terse:
            photos = number_of(count, "photo")
            line = f"Skipped, since submitted before: {photos}. To have one labelled again, touch it."
            self._say("skipped", line, "dim", file=photos, reason="")

    def trouble(self, what: str, reason: str) -> None:
        """Report a failure that will be tried again."""
        self._say("trouble", f"{what}: {reason} It is tried again.", "yellow", file=what, reason=reason)

    def left_out(self, file: str, reason: str) -> None:
        """Report that a file is skipped, as are others of its kind."""
        line = f"{file} is left out, and all others like it: {reason}."
        self._say("left_out", line, "yellow", file=file, reason=reason)

    def remark(self, line: str) -> None:
        """Report what hinders a job."""
        self._say("remark", line, "yellow", reason=line)

    def _say(self, event: str, line: str, style: str, **fields: str) -> None:
        if self._as_json:
            _print_event(event, **fields)
        else:
            self._errors.say(line, style)


def _taken_line(files: Sequence[Skipped]) -> str:
    """That files were submitted before, and what to type to have one labelled again: renamed, it is another file."""
    first = files[0]
    options, those = (f" with other options ({first.why})", " with those of now") if first.why else ("", "")
    again = first.place.with_stem(f"{first.place.stem}-again")
    move = f"mv -n {quote(str(first.place))} {quote(str(again))}"
    told = f"Skipped, since submitted before{options}: {_listed(files)}."
    return f"{told} To have one labelled again{those}, rename it: {move}"


def _refused_line(files: Sequence[Skipped]) -> str:
    return f"Skipped, since refused before: {_listed(files)}: {files[0].why} Change the file, or the options."


def _listed(files: Sequence[Skipped]) -> str:
    names = [f"{one.place.name} (job {one.job})" if one.job else one.place.name for one in files[:_LISTED]]
    more = len(files) - _LISTED
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def _print_event(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}, ensure_ascii=True), flush=True)
