"""How a watched folder looks on a terminal, or to a machine."""

import json

from rich.text import Text

from models.terminal import Console
from worker.queue.submit import Submitted

__all__ = ["InboxView"]


class InboxView:
    """Reports each event of a file once: jobs on stdout and the rest on stderr, or a JSON line an event."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console()
        self._errors = Console(stderr=True)

    def begins(self, folder: str, jobs: str) -> None:
        """Report that the folder is watched from now on."""
        self._say("watching", f"Watching {folder} for {jobs}; Ctrl-C ends it.", "dim", folder=folder, jobs=jobs)

    def submitted(self, what: str, submitted: Submitted) -> None:
        """Report that a file, or some photos, became a job."""
        if submitted.variant_words:
            self.remark(submitted.variant_words)
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


def _print_event(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}, ensure_ascii=True), flush=True)
