"""The downloading thread, with a scripted client."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from catalogue.downloads import Downloads
from catalogue.fetch import FailedTry, Fetch, Outcome, Received
from catalogue.photo import DownloadLimits, PhotoLocator
from catalogue.photos import Photos
from models.errors import ImageFault, JobError
from tests.photo_jobs import photo_job, photo_requests, take_all
from tests.until import until
from worker.job.job import photos_of


class Panic(BaseException):
    """Pyo3's is a BaseException, too."""


class Client:
    def __init__(self, bad: BaseException | FailedTry | None = None) -> None:
        self._bad = bad
        self.asked = 0
        self.asked_at: list[float] = []
        self.closed = False

    async def ask(self, fetch: Fetch, *, keep: bool) -> Outcome:
        self.asked += 1
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)  # others have their turn meanwhile
        if self._bad and fetch.url.endswith("bad"):
            if isinstance(self._bad, FailedTry):
                return self._bad
            raise self._bad
        await fetch.add(b"photo")
        return Received(fetch.whole(), None)

    async def close(self) -> None:
        self.closed = True


@contextmanager
def photos_by(client: Client, limits: DownloadLimits | None = None) -> Iterator[Photos]:
    photos = Photos(PhotoLocator("."), lambda: Downloads(limits or DownloadLimits(), lambda: client))
    yield photos
    photos.close()


@pytest.mark.parametrize(
    "error", [OverflowError("too large"), RuntimeError("\x1b[31m"), RecursionError(), AssertionError(), Panic("at 7")]
)
def test_a_download_at_which_something_unforeseen_happens_fails_alone(error, caplog):
    with photos_by(Client(error)) as photos:
        photos.request(photo_requests("http://a.test/1", "http://a.test/bad", "http://a.test/2"), {})
        first, bad, last = take_all(photos, 3)
    assert (first.outcome, last.outcome) == (b"photo", b"photo")
    assert bad.outcome.fault is ImageFault.DOWNLOAD
    assert type(error).__name__ in str(bad.outcome)
    (logged,) = [record for record in caplog.records if record.event == "photo_failed"]
    assert logged.fields["photo"] == "http://a.test/bad"
    assert logged.fields["traceback"].startswith("Traceback")
    assert "\x1b" not in logged.getMessage()


@pytest.mark.parametrize("error", [JobError("no credentials"), MemoryError("all of it is taken")])
def test_what_is_wrong_with_the_machine_is_raised_where_photos_are_taken(error):
    with photos_by(Client(error)) as photos:
        photos.request(photo_requests("http://a.test/bad"), {})
        with pytest.raises(type(error), match=str(error)):
            photos.take(10.0)


def test_it_wants_more_until_much_waits_to_be_taken_and_ends_with_its_thread():
    client = Client()
    with photos_by(client) as photos:
        photos.request(photo_requests(*(f"http://a.test/{number}" for number in range(1000))), {})
        until(lambda: client.asked == 1000, "all have come")
        assert not photos.wants_more
        take_all(photos, 1000)
        assert photos.wants_more
    photos.close()
    assert client.closed
    assert "hangtag-photos" not in {thread.name for thread in threading.enumerate()}


def test_a_host_that_is_left_alone_is_not_asked_by_those_who_wait_for_a_place():
    client = Client(FailedTry("has no address", silent=True, lasting=True))
    with photos_by(client, DownloadLimits(at_once=1)) as photos:
        photos.request(photo_requests(*(f"http://gone.test/{number}bad" for number in range(5))), {})
        assert ["is not tried again" in str(photo.outcome) for photo in take_all(photos, 5)] == [True] * 5
    assert client.asked == 1


@pytest.mark.parametrize("error", [RuntimeError("no resolver"), IndexError(7), OSError("away")])
def test_a_name_server_fails_the_rows_of_its_names(error, tmp_path):
    def look_up(host: str) -> list[str]:
        raise error

    source = photos_of(photo_job(tmp_path), DownloadLimits(tries=1), look_up)
    (tmp_path / "a.jpg").write_bytes(b"photo")
    source.request(photo_requests("http://shop.test/a.jpg", "a.jpg"), {})
    bad, good = take_all(source, 2)
    source.close()
    assert bad.outcome.fault is ImageFault.DOWNLOAD
    assert good.outcome == b"photo"


def test_a_host_that_asks_for_time_has_it_though_others_have_their_turn_and_wait_for_a_place():
    client = Client(FailedTry("answered 429", after_s=0.3))
    with photos_by(client, DownloadLimits(at_once=1, tries=2, longest_after_s=0.3)) as photos:
        photos.request(
            photo_requests("http://busy.test/bad", *(f"http://busy.test/{number}" for number in range(3))), {}
        )
        take_all(photos, 4)
    first, second, *_ = client.asked_at
    assert second - first >= 0.3
