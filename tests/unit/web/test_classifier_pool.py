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
from models.errors import ImageFault
from models.registry.registry import open_registry
from tests.until import until
from web.classifier_pool import ClassifierPool, Limits
from web.classifier_process import ClassifiedPhoto
from web.heat_map import GRID
from web.metrics import WebMetrics
from web.responses import Problem

PLUGINS = Path(__file__).parents[2] / "plugins"
Run = Callable[[Coroutine[Any, Any, Any]], Any]
Make = Callable[..., ClassifierPool]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs coroutines on an event loop that runs all the time, like a server's."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def metrics() -> WebMetrics:
    return WebMetrics()


@pytest.fixture
def make(bundle: Path, metrics: WebMetrics, run: Run) -> Iterator[Make]:
    """Makes pools of one process."""
    pools: list[ClassifierPool] = []

    def made(
        model: str | None = str(bundle), registry: str = "none", processes: int = 1, **limits: Any
    ) -> ClassifierPool:
        pools.append(ClassifierPool(model, registry, metrics, Limits(**limits), processes))
        return pools[-1]

    yield made
    for pool in pools:
        run(pool.close())


@pytest.fixture(scope="module")
def usual(bundle: Path, run: Run) -> Iterator[ClassifierPool]:
    """A shared pool for tests that only send photos."""
    pool = ClassifierPool(str(bundle), "none", WebMetrics(), processes=2)
    yield pool
    run(pool.close())


@pytest.fixture
def photos(catalogue: Path) -> list[bytes]:
    """Sixteen readable photos."""
    files = sorted(file for file in catalogue.rglob("*.jpg") if file.stat().st_size > 500)
    return [file.read_bytes() for file in files[:16]]


def faults(answers: list[ClassifiedPhoto]) -> list[ImageFault | None]:
    return [answer.error for answer in answers]


def test_answers_are_those_of_the_classifier_in_order(
    usual: ClassifierPool, run: Run, bundle: Path, photos: list[bytes]
) -> None:
    classifier = load(bundle)

    answers = run(usual.classify(photos, top_k=2))

    expected = classifier.classify(list(photos), top_k=2)
    assert [(answer.label, answer.confidence, answer.reason) for answer in answers] == [
        (one.label, one.confidence, one.reason) for one in expected
    ]
    assert [[(one.label, one.confidence) for one in answer.top_k] for answer in answers] == [
        list(one.top_k) for one in expected
    ]
    assert {answer.model for answer in answers} == {classifier.reference}
    assert len({answer.sha256 for answer in answers}) == len(set(photos))


@pytest.mark.parametrize(
    ("photo", "fault"),
    [
        (b"BOOM", ImageFault.CRASHED),
        pytest.param(b"QUIT", ImageFault.CRASHED, marks=pytest.mark.rest),
        pytest.param(b"HANG", ImageFault.TIMEOUT, marks=pytest.mark.rest),
    ],
)
def test_a_photo_that_ends_its_process_fails_alone(
    make: Make,
    metrics: WebMetrics,
    run: Run,
    photos: list[bytes],
    photo: bytes,
    fault: ImageFault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    pool = make(decode_s=0.3)

    answers = run(pool.classify([photos[0], photo, *photos[1:3]]))

    assert faults(answers) == [None, fault, None, None]
    assert metrics.registry.get_sample_value("hangtag_web_processes_died_total") == 2
    assert faults(run(pool.classify(photos[:1]))) == [None]


def test_a_full_queue_refuses_and_says_when_to_come_again(make: Make, run: Run, photos: list[bytes]) -> None:
    pool = make(photos=8)

    async def crowd() -> list[list[ClassifiedPhoto] | BaseException]:
        calls = [pool.classify(photos[:4]) for _ in range(5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = run(crowd())  # the model is still being loaded

    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert [problem.status for problem in refused] == [429] * 3
    assert all(int(problem.headers["retry-after"]) >= 1 for problem in refused)
    assert [len(answer) for answer in answers if isinstance(answer, list)] == [4, 4]
    with pytest.raises(Problem) as raised:
        run(pool.classify(photos[:9]))
    assert raised.value.status == 413


def test_requests_at_once_share_batches(make: Make, metrics: WebMetrics, run: Run, photos: list[bytes]) -> None:
    pool = make()

    async def crowd() -> list[list[ClassifiedPhoto]]:
        return await asyncio.gather(*(pool.classify([photo]) for photo in photos))

    assert all(answer[0].label for answer in run(crowd()))
    assert metrics.registry.get_sample_value("hangtag_web_batch_photos_count") == len(photos) // 8


def test_an_alias_that_moves_loses_no_request(
    make: Make, run: Run, bundle: Path, unsure_bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    registry = open_registry(str(tmp_path))
    registry.publish("shop", bundle, "first", alias="champion")
    registry.publish("shop", unsure_bundle, "second")
    pool = make(None, str(tmp_path), look_s=0.05)
    assert run(pool.classify(photos[:1]))[0].model == load(bundle).reference

    registry.promote("shop", 2, "better")

    second, models = load(unsure_bundle).reference, set[str]()

    def moved() -> bool:
        answers = run(pool.classify(photos[:2]))
        assert all(answer.label for answer in answers)
        models.update(answer.model for answer in answers)
        return second in models

    until(moved, "the new champion answers")
    assert pool.model is not None
    assert pool.model.name == "shop@2"


def test_a_model_that_is_damaged_later_leaves_the_one_before(
    make: Make, run: Run, bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    pool = make(str(copy), look_s=0.05)
    assert faults(run(pool.classify(photos[:1]))) == [None]

    (copy / "manifest.json").write_text("{}")

    until(lambda: pool.trouble, "the damage is noticed")
    assert faults(run(pool.classify(photos[:1]))) == [None]


def test_a_damaged_model_is_refused_and_its_requests_end(
    make: Make, run: Run, bundle: Path, photos: list[bytes], tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    file = copy / "model.onnx"
    file.write_bytes(file.read_bytes()[:-9])

    with pytest.raises(Problem, match=r"model\.onnx") as raised:
        run(make(str(copy)).classify(photos[:1]))

    assert raised.value.status == 503


@pytest.mark.parametrize("in_hand", [False, True], ids=["in the queue", "in hand"])
def test_a_server_that_ends_answers_those_who_wait(
    make: Make, run: Run, in_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    pool = make()
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(lambda: run(pool.classify([b"HANG"])))
        until(lambda: pool.model and not pool.waiting if in_hand else pool.waiting, "the photo is there")

        run(pool.close())

        with pytest.raises(Problem) as raised:
            asked.result()
    assert raised.value.status == 503


def test_one_heat_map_runs_at_a_time_and_lets_requests_pass_between_batches(
    make: Make, metrics: WebMetrics, run: Run, photos: list[bytes]
) -> None:
    pool = make()

    async def two() -> tuple[bool, int]:
        first = asyncio.create_task(pool.heat_map(photos[0]))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await pool.heat_map(photos[1])
        while metrics.registry.get_sample_value("hangtag_web_batch_photos_count") < 2:
            await asyncio.sleep(0.001)
        await pool.classify([photos[1]])
        gave_way = not first.done()
        await first
        await pool.heat_map(photos[1])  # once it is done, the next may begin
        return gave_way, refused.value.status

    assert run(two()) == (True, 429)
    # The other request may share a batch with a part of the map.
    assert metrics.registry.get_sample_value("hangtag_web_batch_photos_count") >= 2 * (2 + GRID * GRID // 8)
