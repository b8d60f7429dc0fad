from typing import cast

import numpy as np
import pytest

from models.errors import ImageFault
from worker.labelling.earlier_results import EarlierResults, Known, PreviousResults

from .rows import add, failed, known_of, labelled, sha256_of


def test_a_photo_is_known_by_its_bytes() -> None:
    known = EarlierResults()
    add(known, labelled(1))
    assert known.find(sha256_of(1)) == known_of(labelled(1).result)
    assert known.find(sha256_of(2)) is None


def test_a_photo_is_known_by_what_its_host_calls_it() -> None:
    known = EarlierResults()
    urls = [f"http://shop.example/{number}" for number in range(2_000)]
    add(known, labelled(1, urls[1], '"a"'), labelled(2, urls[2]), labelled(3))
    assert known.etags(urls) == {urls[1]: '"a"'}
    assert known.at(urls[1], '"a"') == known_of(labelled(1).result)
    assert known.at(urls[1], '"b"') is None
    assert known.at(urls[2], '"a"') is None


def test_of_a_url_the_latest_etag_is_known_and_a_host_is_asked_again_for_a_photo_that_failed() -> None:
    known, url, other = EarlierResults(), "http://shop.example/1", "http://shop.example/2"
    half = failed(3, ImageFault.UNREADABLE)
    add(known, labelled(1, url, '"a"'), half._replace(url=other))
    known.add(sha256_of(3), {"status": "failed"}, [(other, '"a"')])
    add(known, labelled(2, url, '"b"'))
    assert known.etags([url, other]) == {url: '"b"'}
    assert known.at(url, '"b"').result["label"] == "class 2"
    assert known.at(url, '"a"') is None
    assert known.find(sha256_of(3)) is not None
    assert known.at(other, '"a"') is None


@pytest.mark.parametrize("classes", [10, 10_000])
def test_what_is_remembered_is_bounded(classes: int) -> None:
    known, found, count = EarlierResults(), 0, 70_000 if classes == 10 else 2_000
    scores = np.ones(classes, np.float32)
    for number in range(count):
        known.add(str(number), (scores, 0.5), [(f"http://shop.example/{number}", '"a"')])
    found = sum(known.find(str(number)) is not None for number in range(count))
    assert 0 < found * (512 + scores.nbytes) <= (1 << 25) + (1 << 17)
    assert len(known.etags([f"http://shop.example/{number}" for number in range(count)])) == found


class _Previous:
    """A previous job that knows one photo."""

    def places(self, urls):
        return dict.fromkeys(urls, ('"a"', "0f"))

    def find(self, sha256):
        return Known(sha256, {"status": "labeled"}, carried=True)

    def close(self):
        """Nothing is open."""


def test_a_place_of_the_previous_job_is_known_without_being_remembered() -> None:
    """A request may take longer than what is remembered lasts, and rows without a result never end it."""
    known, url = EarlierResults(cast("PreviousResults", _Previous())), "http://shop.example/1"
    assert known.etags([url]) == {url: '"a"'}
    assert not known._places
    found = known.at(url, '"a"')
    assert found is not None
    assert found.carried
    assert known.at(url, '"b"') is None
    known.add("1e", {"status": "labeled"}, [(url, '"b"')])
    assert known.etags([url]) == {url: '"b"'}
