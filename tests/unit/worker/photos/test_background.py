"""The thread that downloads, with a client that does as it is told."""

import threading

import pytest

from models.errors import JobError
from tests.photo_jobs import wanted
from tests.until import until
from worker.photos.cells import parse_url
from worker.photos.fetch import Ask, Came, Chunk, Fetch, Outcome
from worker.photos.photo import Limits
from worker.photos.source import Background


class _Client:
    """Answers at once, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0
        self.closed = False

    async def ask(self, fetch: Fetch, *, keep: bool) -> Outcome:
        self.asked += 1
        if self.error:
            raise self.error
        await fetch.intake.add(b"photo")
        return Came(fetch.intake.whole(), None)

    async def close(self) -> None:
        self.closed = True


def ask(background, *urls, chunk=None):
    chunk = chunk or Chunk()
    background.want([(Ask(row, chunk), parse_url(row.cell), None) for row in wanted(*urls)])
    return chunk


@pytest.fixture
def client():
    return _Client()


@pytest.fixture
def background(client):
    background = Background(Limits(), lambda: client)
    yield background
    background.close()


def test_what_comes_can_be_taken(background):
    ask(background, "http://a.test/1", "http://a.test/2")
    assert [background.take(10.0).outcome, background.take(10.0).outcome] == [b"photo", b"photo"]
    assert background.take(10.0) is None


@pytest.mark.parametrize("error", [JobError("no credentials"), MemoryError("all of it is taken")])
def test_what_is_wrong_with_the_machine_is_raised_where_photos_are_taken(error, background, client):
    client.error = error
    ask(background, "http://a.test/1")
    with pytest.raises(type(error), match=str(error)):
        background.take(10.0)
    client.error = None
    ask(background, "http://a.test/1")
    assert background.take(10.0).outcome == b"photo"


def test_a_client_that_cannot_be_made_is_raised_at_once():
    error = JobError("no way")

    def fail():
        raise error

    with pytest.raises(JobError, match="no way"):
        Background(Limits(), fail)


def test_what_came_and_is_forgotten_is_not_taken(background):
    chunk = ask(background, *(f"http://a.test/{number}" for number in range(10)))
    assert background.take(10.0)
    chunk.given_up = True
    background.forget(chunk)
    assert background.take(0.0) is None


def test_it_wants_more_until_much_waits_to_be_taken(background, client):
    until(lambda: background.wants_more, "it has nothing to do")
    ask(background, *(f"http://a.test/{number}" for number in range(1000)))
    until(lambda: client.asked == 1000, "all have come")
    assert not background.wants_more
    while background.take(0.0):
        pass
    assert background.wants_more


def test_closing_ends_the_thread(client):
    background = Background(Limits(), lambda: client)
    background.close()
    background.close()
    assert client.closed
    assert "hangtag-photos" not in {thread.name for thread in threading.enumerate()}
