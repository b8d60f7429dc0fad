"""One photo on its way, for all the rows that want it."""

from dataclasses import dataclass, field
from typing import Final

from models.errors import ImageError
from worker.photos.photo import Wanted
from worker.photos.room import Intake
from worker.photos.target import Target

__all__ = ["Arrival", "Ask", "Chunk", "Fetch"]

_TO_BLAME: Final = 2


@dataclass(eq=False)
class Chunk:
    """A chunk whose photos are asked for.

    Attributes:
        left: photos that have not been taken.
        downloading: those of them that come over a network.
        given_up: whether they are still wanted.
    """

    left: int = 0
    downloading: int = 0
    given_up: bool = False


@dataclass(frozen=True, eq=False)
class Ask:
    """A row that wants a photo."""

    wanted: Wanted
    chunk: Chunk


@dataclass(eq=False)
class Fetch:
    """A download.

    Attributes:
        url: that was asked for.
        etag: what the host called the bytes that are known.
        target: where it is asked for now; another place than ``url`` after a redirect.
        intake: what has come.
        asks: who wants it.
        tries: how many have begun.
        silences: how many of them the host said nothing to for long.
        blame: how much speaks for it being this photo, and not its host, that gets no answer.
        silent_since: when the last try that met silence began, while that may still be its host's fault.
        redirects: that were followed.
        put_off_s: seconds, in all, after which its host has asked to be asked again.
        left_s: seconds that its tries, and the pauses between them, may still take; none before the first.
        deadline: of the try that is under way, by the loop's clock.
        seconds: that its tries took.
        slow: whether it has left its place to others.
    """

    url: str
    etag: str | None
    target: Target
    intake: Intake
    asks: list[Ask] = field(default_factory=list)
    tries: int = 0
    silences: int = 0
    blame: int = 0
    silent_since: float | None = None
    redirects: int = 0
    put_off_s: float = 0.0
    left_s: float | None = None
    deadline: float = 0.0
    seconds: float = 0.0
    slow: bool = False

    @property
    def is_to_blame(self) -> bool:
        """Whether it is this photo that gets no answer; its host answers others meanwhile."""
        return self.blame >= _TO_BLAME

    def met_silence(self, began: float, ended: float, answered_at: float | None, slow_s: float) -> None:
        """A try got no answer.

        A host that dies has just answered others when it cuts short what is under way, so one such try proves nothing.
        Two do; so does a long one in which others were answered.

        Args:
            began: when the try did, by the loop's clock.
            ended: when it was over.
            answered_at: when its host last answered anybody; none where it never did.
            slow_s: how long is long.
        """
        if answered_at is None:
            return
        self.blame += self.silent_since is not None and answered_at > self.silent_since
        if answered_at > began:
            self.blame += _TO_BLAME if ended - began >= slow_s else 1
        self.silent_since = None if answered_at > began else began

    @property
    def known_as(self) -> str | None:
        """The ETag to ask with: what is elsewhere may be called the same and be something else."""
        return None if self.redirects else self.etag


@dataclass(frozen=True)
class Arrival:
    """A download that is over, on its way to the thread that takes photos.

    Attributes:
        held: bytes that make room once nobody waits for them any more.
    """

    asks: tuple[Ask, ...]
    url: str
    outcome: bytes | ImageError | None
    etag: str | None
    seconds: float
    downloaded: int
    held: int
