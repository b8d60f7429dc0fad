"""A folder, what is asked of its files, and what became of them; time passes when a test says so."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.storage.storage import FolderStorage, Storage
from worker.job.jobs import Jobs
from worker.queue.inbox.catalogues import Skipped
from worker.queue.inbox.inbox import Inbox
from worker.queue.inbox.request import InboxRequest
from worker.queue.submit import Submitted

LONG_S = 1000.0


@dataclass
class Heard:
    """What a watch has told.

    Attributes:
        new: what became a job, and the job's name, by the watch that made it.
        old: the same, by a watch that found it made.
        refusals: file and reason, each time.
        troubles: what failed and the reason, each time.
        others: file and reason, of what was left out.
        known: file, job and reason, of what was submitted or refused before.
        photos: how many were submitted before, each time.
    """

    new: list[tuple[str, str]] = field(default_factory=list)
    old: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)
    known: list[tuple[str, str | None, str]] = field(default_factory=list)
    photos: list[int] = field(default_factory=list)

    def begins(self, folder: str, jobs: str) -> None: ...

    def submitted(self, what: str, submitted: Submitted) -> None:
        (self.new if submitted.new else self.old).append((what, submitted.name))

    def refused(self, file: str, reason: str) -> None:
        self.refusals.append((file, reason))

    def trouble(self, what: str, reason: str) -> None:
        self.troubles.append((what, reason))

    def left_out(self, file: str, reason: str) -> None:
        self.others.append((file, reason))

    def skipped(self, files: Sequence[Skipped]) -> None:
        self.known += [(one.place.name, one.job, one.why) for one in files]

    def skipped_photos(self, count: int) -> None:
        self.photos.append(count)

    def remark(self, line: str) -> None:
        raise AssertionError(line)


@dataclass
class Watched:
    """A watched folder and its folder of jobs.

    Attributes:
        root: holds both.
        request: what is asked.
        now: the time.
        heard: what every watch of it has told.
    """

    root: Path
    request: InboxRequest
    now: float = 0.0
    heard: Heard = field(default_factory=Heard)

    @property
    def folder(self) -> Path:
        return self.request.folder

    @property
    def jobs(self) -> Jobs:
        return Jobs(FolderStorage(self.root / "jobs"))

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def list(self, path: str, *photos: str) -> None:
        """Write a catalogue of some photos, and the first of them."""
        if photos:
            self.bring(photos[0])
        self.write(path, "".join(f"{photo}\n" for photo in ("image", *photos)))

    def bring(self, photo: str) -> None:
        """Write an empty photo, where paths of catalogues start."""
        (Path(self.request.each.image_root or self.folder) / photo).touch()

    def inbox(self, storage: Storage | None = None) -> Inbox:
        """A process that begins to watch."""
        jobs = self.jobs if storage is None else Jobs(storage)
        return Inbox(self.request, jobs, self.heard, lambda _name: None)

    def settle(self, inbox: Inbox, looks: int = 2) -> None:
        """Look, wait long, and look again."""
        for _ in range(looks):
            inbox.look(self.now)
            self.now += LONG_S

    def asked(self, **changes: object) -> "Watched":
        """The same place, watched with other options."""
        return replace(self, request=replace(self.request, **changes))

    def each(self, **changes: object) -> "Watched":
        """The same place, watched for other jobs."""
        return self.asked(each=replace(self.request.each, **changes))


def rows_of(jobs: Jobs) -> Counter[str | None]:
    """Photo → how many rows of all jobs it is in."""
    found = [jobs.get(name) for name in jobs.names()]
    return Counter(
        image for job in found if job for chunk in range(job.spec.chunks) for image in job.chunk_images(chunk)
    )


class KilledError(BaseException):
    """Stands for the end of the process, which nothing can catch."""


@dataclass
class Fate:
    """Something happens at a step.

    Attributes:
        at: which step, from 1 on; 0 for none.
        happens: what.
        steps: so far, one before each write.
    """

    at: int
    happens: Callable[[], None]
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.happens()


@dataclass(frozen=True)
class MortalStorage(FolderStorage):
    """Storages of one place are equal, whatever their fate."""

    fate: Fate = field(compare=False)

    def commit(self, key: str, data: bytes) -> bool:
        self.fate.step()
        return super().commit(key, data)

    def replace(self, key: str, data: bytes) -> None:
        self.fate.step()
        super().replace(key, data)

    def child(self, folder: str) -> "MortalStorage":
        return MortalStorage(Path(self.root / folder), self.fate)
