"""The pool of processes that labels photos of requests."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from models.classifier import load
from models.errors import ImageFault, InputError
from models.registry.registry import open_registry
from tests.until import until
from web.classify import ClassifierPool
from web.classify_queue import Answer, Limits
from web.problems import Problem

PLUGINS = Path(__file__).parents[2] / "plugins"
Ask = Callable[[Coroutine[Any, Any, Any]], Any]
Make = Callable[..., ClassifierPool]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks on an event loop that goes on running between, as a server's does."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield lambda asked: asyncio.run_coroutine_threadsafe(asked, loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def close(pool: ClassifierPool) -> None:
    pool.close()
    await asyncio.sleep(0)  # its tasks end


@pytest.fixture
def make(bundle: Path, ask: Ask) -> Iterator[Make]:
    pools: list[ClassifierPool] = []

    def made(
        model: str | None = str(bundle), registry: str = "none", processes: int = 1, **limits: Any
    ) -> ClassifierPool:
        pools.append(ClassifierPool(model, registry, Limits(**limits), processes))
        return pools[-1]

    yield made
    for pool in pools:
        ask(close(pool))


@pytest.fixture
def photos(catalogue: Path) -> list[bytes]:
    """Sixteen that can be read."""
    files = sorted(file for file in catalogue.rglob("*.jpg") if file.stat().st_size > 500)
    return [file.read_bytes() for file in files[:16]]


def test_answers_are_those_of_the_classifier_in_order(make: Make, ask: Ask, bundle: Path, photos: list[bytes]) -> None:
    classifier = load(bundle)
    pool = make(processes=2)

    answers = ask(pool.classify(photos, top_k=2))

    assert [answer.prediction for answer in answers] == classifier.classify(list(photos), top_k=2)
    assert {answer.model for answer in answers} == {classifier.reference}
    assert len({answer.sha256 for answer in answers}) == len(set(photos))


def test_a_photo_that_cannot_be_read_fails_no_other(make: Make, ask: Ask, photos: list[bytes]) -> None:
    answers = ask(make().classify([photos[0], b"no photo", b"", photos[1]]))

    assert [answer.fault for answer in answers] == [None, ImageFault.UNREADABLE, ImageFault.UNREADABLE, None]


def test_a_request_has_a_precision_or_a_threshold_of_its_own(make: Make, ask: Ask, photos: list[bytes]) -> None:
    pool = make()

    low = ask(pool.classify(photos, threshold=0.001))
    high = ask(pool.classify(photos, threshold=1.0))

    assert not any(answer.prediction.review for answer in low if answer.prediction)
    assert all(answer.threshold == 1.0 for answer in high)
    with pytest.raises(InputError, match=r"Expected precision to be one of 0\.90, got 0\.5"):
        ask(pool.classify(photos, precision=0.5))


@pytest.mark.parametrize(
    ("photo", "fault"), [(b"BOOM", ImageFault.CRASHED), (b"QUIT", ImageFault.CRASHED), (b"HANG", ImageFault.TIMEOUT)]
)
def test_a_photo_that_ends_its_process_fails_alone(
    make: Make, ask: Ask, photos: list[bytes], photo: bytes, fault: ImageFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    pool = make(decode_s=0.3)

    answers = ask(pool.classify([photos[0], photo, *photos[1:3]]))

    assert [answer.fault for answer in answers] == [None, fault, None, None]
    assert pool.figures.deaths == 2
    assert ask(pool.classify(photos[:1]))[0].prediction


def test_a_death_is_no_fault_of_the_batch_that_the_process_had_next(
    make: Make, ask: Ask, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    pool = make()

    answers = ask(pool.classify([*photos[:7], b"BOOM", *photos]))

    assert [answer.fault for answer in answers if answer.fault] == [ImageFault.CRASHED]
    assert pool.figures.batches == {8: 2, 1: 7}  # only what was in hand with it is asked again one by one


def test_a_full_queue_refuses_and_says_when_to_come_again(make: Make, ask: Ask, photos: list[bytes]) -> None:
    pool = make(photos=8)

    async def crowd() -> list[list[Answer] | BaseException]:
        calls = [pool.classify(photos[:4]) for _ in range(5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = ask(crowd())  # the model is still being loaded

    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert [problem.status for problem in refused] == [429] * 3
    assert all(int(problem.headers["retry-after"]) >= 1 for problem in refused)
    assert [len(answer) for answer in answers if isinstance(answer, list)] == [4, 4]
    with pytest.raises(Problem, match="at most 8 photos") as raised:
        ask(pool.classify(photos[:9]))
    assert raised.value.status == 413


def test_requests_at_once_share_batches(make: Make, ask: Ask, photos: list[bytes]) -> None:
    pool = make()

    async def crowd() -> list[list[Answer]]:
        return await asyncio.gather(*(pool.classify([photo]) for photo in photos))

    answers = ask(crowd())

    assert all(answer[0].prediction for answer in answers)
    assert pool.figures.batches[8] == len(photos) // 8


def test_an_alias_that_moves_loses_no_request(
    make: Make, ask: Ask, bundle: Path, unsure_bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    registry = open_registry(str(tmp_path))
    registry.publish("shop", bundle, "first", alias="champion")
    registry.publish("shop", unsure_bundle, "second")
    pool = make(None, str(tmp_path), look_s=0.05)
    assert ask(pool.classify(photos[:1]))[0].model == load(bundle).reference

    registry.promote("shop", 2, "better")

    second, models = load(unsure_bundle).reference, set[str]()

    def moved() -> bool:
        answers = ask(pool.classify(photos[:2]))
        assert all(answer.prediction for answer in answers)
        models.update(answer.model for answer in answers)
        return second in models

    until(moved, "the new champion answers")
    assert pool.model is not None
    assert pool.model.name == "shop@2"


def test_a_model_that_is_damaged_later_leaves_the_one_before(
    make: Make, ask: Ask, bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    pool = make(str(copy), look_s=0.05)
    assert ask(pool.classify(photos[:1]))[0].prediction

    (copy / "manifest.json").write_text("{}")

    until(lambda: pool.trouble, "the damage is noticed")
    assert ask(pool.classify(photos[:1]))[0].prediction


def test_without_a_model_the_answer_says_what_to_do(make: Make, ask: Ask, photos: list[bytes], tmp_path: Path) -> None:
    pool = make(None, str(tmp_path / "empty"), look_s=0.05)

    with pytest.raises(Problem, match="--model") as raised:
        ask(pool.classify(photos[:1]))

    assert raised.value.status == 503


def test_a_damaged_model_is_refused_and_its_requests_end(
    make: Make, ask: Ask, bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    file = copy / "model.onnx"
    file.write_bytes(file.read_bytes()[:-9])

    with pytest.raises(Problem, match=r"model\.onnx") as raised:
        ask(make(str(copy)).classify(photos[:1]))

    assert raised.value.status == 503


def test_a_server_that_ends_answers_those_who_wait(make: Make, ask: Ask, photos: list[bytes]) -> None:
    pool = make()
    with ThreadPoolExecutor() as threads:
        waits = threads.submit(lambda: ask(pool.classify(photos)))
        until(lambda: pool.waiting, "photos wait")

        ask(close(pool))

        with pytest.raises(Problem, match="ending"):
            waits.result()


def test_a_server_that_ends_answers_those_whose_photos_are_being_labelled(
    make: Make, ask: Ask, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    pool = make()
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(lambda: ask(pool.classify([b"HANG"])))
        until(lambda: pool.model and not pool.waiting, "a process has it in hand")

        ask(close(pool))

        with pytest.raises(Problem, match="ending"):
            asked.result()
