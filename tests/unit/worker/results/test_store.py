from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import ReviewReason
from tests.unit.worker.answers import failed, sure, unsure
from worker.job.parts import RowResult, results_table
from worker.results.merge import scratch_database
from worker.results.products import ClassShare, Product, ProductStore, decide

Rows = Sequence[tuple[str | None, RowResult]]


@pytest.fixture
def store(tmp_path: Path):
    with scratch_database(tmp_path) as database:
        yield ProductStore(database)


def above(label: str, level: int, guess: str, confidence: float = 0.5) -> RowResult:
    """A photo that is sure of a label above its likeliest class."""
    row = replace(sure(guess, confidence), label=label, confidence=0.9)
    return replace(row, label_level=level, leaf_guess=guess)


def test_only_labels_of_which_neither_is_above_the_other_disagree(tmp_path: Path) -> None:
    parents = {"boots": "shoes", "sandals": "shoes", "shoes": "worn", "dress": "worn"}
    rows = [("A", sure("boots")), ("A", above("shoes", 1, "sandals")), ("A", above("worn", 2, "boots"))]
    rows += [("B", sure("dress")), ("B", above("shoes", 1, "boots"))]
    rows += [("C", above("shoes", 1, "boots")), ("C", above("shoes", 1, "sandals"))]
    with scratch_database(tmp_path) as database:
        store = ProductStore(database, parents)
        add(store, rows)
        assert store.disagreeing({"A", "B", "C"}) == {"B"} == set(store.first_disagreeing(9))
        told = {product.name: decide(product, shares, parents) for product, shares in store.products()}
    assert {name: (one.label, one.status.value) for name, one in told.items()} == {
        "A": ("boots", "labeled"), "B": ("dress", "review"), "C": ("shoes", "labeled"),
    }  # fmt: skip
    assert told["C"].confidence == pytest.approx(0.5)


def add(store: ProductStore, rows: Rows) -> None:
    names = pa.chunked_array([[name for name, _ in rows]], pa.string())
    store.add(results_table([result for _, result in rows]), names)


def test_photos_of_a_product_are_counted_over_all_that_is_added(store: ProductStore) -> None:
    add(store, [("B", sure("shoe", 0.75, ("hat", 0.25))), (None, sure("hat")), ("A", failed())])
    add(store, [("B", unsure("hat", 0.5, ("shoe", 0.25), reason=ReviewReason.UNKNOWN)), ("B", failed())])
    assert list(store.products()) == [
        (
            Product("B", 3, 2, {ReviewReason.UNKNOWN: 1}),
            [ClassShare("hat", 0.75, 1, 0), ClassShare("shoe", 1.0, 1, 1)],
        ),
        (Product("A", 1, 0, {}), []),
    ]


def test_only_sure_photos_disagree(store: ProductStore) -> None:
    add(store, [("A", sure("shoe")), ("A", sure("hat")), ("B", sure("shoe")), ("B", unsure("hat")), ("C", failed())])
    assert store.disagreeing({"A", "B", "C", "D"}) == {"A"}
    add(store, [("C", sure("shoe")), ("B", sure("hat"))])
    assert store.disagreeing(["A", "B", "C"]) == {"A", "B"}
    assert store.first_disagreeing(5) == ["A", "B"]
    assert store.first_disagreeing(1) == ["A"]


def test_what_is_no_number_counts_nothing(store: ProductStore) -> None:
    add(store, [("A", unsure("shoe", float("nan"), ("hat", float("nan")))), ("A", unsure("shoe", 0.5))])
    ((_, shares),) = store.products()
    assert shares == [ClassShare("hat", 0.0, 0, 0), ClassShare("shoe", 0.5, 2, 0)]


@pytest.mark.parametrize("name", ["a'; DROP TABLE product; --", "a\x00b", "ключ", "  ", "0", "1e3"])
def test_a_product_is_what_the_cell_says(store: ProductStore, name: str) -> None:
    add(store, [(name, sure("shoe")), ("a", sure("hat")), (name, sure("hat"))])
    assert [product.name for product, _ in store.products()] == [name, "a"]
    assert store.disagreeing([name, "a"]) == {name}


PROBABILITIES = st.floats(0.5, 1.0, width=32)
OTHERS = st.tuples(st.sampled_from("uvw"), st.floats(0.0, 0.5, width=32))
ANSWERS = st.one_of(
    st.builds(failed),
    st.builds(sure, st.sampled_from("xyz"), PROBABILITIES, OTHERS),
    st.builds(unsure, st.sampled_from("xyz"), PROBABILITIES, reason=st.sampled_from(list(ReviewReason)[:2])),
)
ROWS = st.lists(st.tuples(st.sampled_from(["A", "B", "C", None]), ANSWERS), max_size=20)


def verdicts(folder: Path, batches: Sequence[Rows]) -> dict[str, object]:
    with scratch_database(folder) as database:
        store = ProductStore(database)
        for batch in batches:
            add(store, batch)
        return {product.name: (product, decide(product, shares)) for product, shares in store.products()}


@given(ROWS, st.randoms(), st.integers(1, 20))
def test_neither_chunks_nor_their_order_change_a_vote(tmp_path_factory, rows, random, size) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = verdicts(folder, [rows])
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    assert list(verdicts(folder, chunks).items()) == list(whole.items()), "in order of first appearance"
    random.shuffle(rows)
    assert verdicts(folder, [rows[start : start + size] for start in range(0, len(rows), size)]) == whole


@given(st.lists(ANSWERS, max_size=8))
def test_a_product_with_one_photo_is_what_that_photo_is(tmp_path_factory, answers) -> None:
    rows = [(str(number), answer) for number, answer in enumerate(answers)]
    told = verdicts(tmp_path_factory.getbasetemp(), [rows])
    for name, answer in rows:
        _, verdict = told[name]
        assert (verdict.label, verdict.status, verdict.reason) == (answer.label, answer.status, answer.reason)
        assert verdict.confidence == answer.confidence
        assert verdict.agreement == (1.0 if answer.label else None)


def test_no_query_sorts_all_products(tmp_path: Path) -> None:
    with scratch_database(tmp_path) as database:
        store, asked = ProductStore(database), []
        add(store, [("A", sure("shoe")), ("A", sure("hat"))])
        database.set_trace_callback(asked.append)
        assert (len(list(store.products())), store.disagreeing(["A"]), store.first_disagreeing(1)) == (1, {"A"}, ["A"])
        database.set_trace_callback(None)
        plans = [step for query in asked for *_, step in database.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(asked) == 3
    assert not [step for step in plans if "TEMP B-TREE" in step]
