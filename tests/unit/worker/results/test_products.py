"""The vote on each product, ``by_group``, and rows to review for disagreement."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.decision import ReviewReason
from tests.row_results import RowResult, results_table
from tests.unit.worker.answers import MODEL, failed, sure, unsure
from worker.job.job import Job
from worker.job.parts import Status
from worker.job.receipt import GroupCounts
from worker.request import JobOptions
from worker.results.merge import QuestionMerge, merge_job, scratch_database
from worker.results.products import ClassShare, Product, ProductStore, ProductVote, decide

THRESHOLD, UNKNOWN = ReviewReason.THRESHOLD, ReviewReason.UNKNOWN
LABELED, REVIEW = Status.LABELED, Status.REVIEW


def product(photos: int = 2, readable: int | None = None, doubts: dict[ReviewReason, int] | None = None) -> Product:
    return Product("A-1", photos, photos if readable is None else readable, doubts or {})


VOTES = {
    "the mean over readable photos": (
        product(3, 2), [("hat", 0.5, 0, 0), ("shoe", 1.5, 2, 2)], (0.75, LABELED, None, 1),
    ),
    "two sure labels": (
        product(9), [("hat", 0.9, 1, 1), ("shoe", 7.2, 8, 8)], (0.8, REVIEW, ReviewReason.DISAGREEMENT, 8 / 9),
    ),
    "a sure photo that is outvoted": (
        product(3, doubts={THRESHOLD: 2}), [("hat", 0.9, 1, 1), ("shoe", 1.5, 2, 0)], (0.5, REVIEW, THRESHOLD, 2 / 3),
    ),
    "one sure photo that agrees": (
        product(4, doubts={UNKNOWN: 2}), [("hat", 0.2, 3, 0), ("shoe", 1.0, 1, 1)], (0.25, LABELED, None, 0.25),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("voters", "shares", "said"), VOTES.values(), ids=VOTES)
def test_the_vote_is_the_likeliest_class_and_sure_photos_decide_whether_it_labels(voters, shares, said) -> None:
    told = decide(voters, [ClassShare(*share) for share in shares])
    assert (told.label, told.status, told.reason) == ("shoe", *said[1:3])
    assert (told.confidence, told.agreement) == pytest.approx((said[0], said[3]))


def test_a_product_without_a_readable_photo_failed() -> None:
    assert decide(product(2, 0), []) == ProductVote(None, None, Status.FAILED, None, None)


@pytest.mark.parametrize(
    ("threshold", "unknown", "reason"), [(2, 1, THRESHOLD), (1, 2, UNKNOWN), (1, 1, UNKNOWN), (0, 0, None)]
)
def test_the_commonest_doubt_is_the_reason(threshold: int, unknown: int, reason: ReviewReason | None) -> None:
    doubts = {name: count for name, count in ((THRESHOLD, threshold), (UNKNOWN, unknown)) if count}
    assert decide(product(doubts=doubts), [ClassShare("shoe", 1.0, 2, 0)]).reason is reason


def test_of_equal_means_more_photos_decide_and_then_the_alphabet() -> None:
    hat, shoe = ClassShare("hat", 1.0, 0, 0), ClassShare("shoe", 1.0, 1, 0)
    assert decide(product(), [hat, shoe]).label == "shoe"
    assert decide(product(), [ClassShare("shoe", 1.0, 0, 0), hat]).label == "hat"


PARENTS = {"boots": "shoes", "sandals": "shoes", "shoes": "worn", "dress": "worn"}
IN_TREE = {
    "a class and the label above it are one": (
        [("boots", 1.5, 1, 1), ("sandals", 0.3, 0, 0), ("shoes", 0.0, 1, 1)], ("boots", 0.75, LABELED, None, 0.5),
    ),
    "sure of the label above only": (
        [("boots", 1.0, 0, 0), ("sandals", 0.8, 0, 0), ("shoes", 0.0, 2, 2)], ("shoes", 0.9, LABELED, None, 1.0),
    ),
    "two classes of one parent": (
        [("boots", 1.0, 1, 1), ("sandals", 0.9, 1, 1)], ("boots", 0.5, REVIEW, ReviewReason.DISAGREEMENT, 0.5),
    ),
    "two labels on different ways": (
        [("boots", 1.0, 0, 0), ("dress", 0.9, 1, 1), ("shoes", 0, 1, 1)],
        ("boots", 0.5, REVIEW, ReviewReason.DISAGREEMENT, 0),
    ),
    "all are sure of a label, the likeliest class of all together is elsewhere": (
        [("boots", 0.65, 0, 0), ("hat", 0.7, 0, 0), ("sandals", 0.65, 0, 0), ("shoes", 0.0, 2, 2)],
        ("shoes", 0.65, LABELED, None, 1.0),
    ),
    "all are sure, one of a class that the vote is not": (
        [("boots", 0.8, 1, 1), ("sandals", 1.0, 0, 0), ("shoes", 0.0, 1, 1)], ("shoes", 0.9, LABELED, None, 1.0),
    ),
    "the vote says something else": (
        [("boots", 0.4, 0, 0), ("hat", 0.9, 1, 0), ("shoes", 0.0, 1, 1)], ("hat", 0.45, REVIEW, None, 0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("shares", "said"), IN_TREE.values(), ids=IN_TREE)
def test_sure_labels_above_each_other_agree_on_the_lowest(shares, said) -> None:
    told = decide(product(), [ClassShare(*share) for share in shares], PARENTS)
    assert (told.label, told.status, told.reason) == (said[0], *said[2:4])
    assert (told.confidence, told.agreement) == pytest.approx((said[1], said[4]))


Rows = Sequence[tuple[str | None, RowResult]]


@pytest.fixture
def store(tmp_path: Path):
    with scratch_database(tmp_path) as database:
        yield ProductStore(database, "sku")


def above(label: str, level: int, guess: str, confidence: float = 0.5) -> RowResult:
    """A photo that is sure of a label above its likeliest class."""
    row = replace(sure(guess, confidence), label=label, confidence=0.9)
    return replace(row, label_level=level, leaf_guess=guess)


def test_only_labels_of_which_neither_is_above_the_other_disagree(tmp_path: Path) -> None:
    rows = [("A", sure("boots")), ("A", above("shoes", 1, "sandals")), ("A", above("worn", 2, "boots"))]
    rows += [("B", sure("dress")), ("B", above("shoes", 1, "boots"))]
    rows += [("C", above("shoes", 1, "boots")), ("C", above("shoes", 1, "sandals"))]
    with scratch_database(tmp_path) as database:
        store = ProductStore(database, "sku", PARENTS)
        add(store, rows)
        assert store.disagreeing({"A", "B", "C"}) == {"B"}
        told = {product.name: decide(product, shares, PARENTS) for product, shares in store.products()}
    assert {name: (one.label, one.status.value) for name, one in told.items()} == {
        "A": ("boots", "labeled"), "B": ("dress", "review"), "C": ("shoes", "labeled"),
    }  # fmt: skip
    assert told["C"].confidence == pytest.approx(0.5)


def add(store: ProductStore, rows: Rows) -> None:
    names = pa.chunked_array([[name for name, _ in rows]], pa.string())
    store.add(results_table([result for _, result in rows]), names)


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
    st.builds(unsure, st.sampled_from("xyz"), PROBABILITIES, reason=st.sampled_from([THRESHOLD, UNKNOWN])),
)
ROWS = st.lists(st.tuples(st.sampled_from(["A", "B", "C", None]), ANSWERS), max_size=20)


def verdicts(folder: Path, batches: Sequence[Rows]) -> dict[str, object]:
    with scratch_database(folder) as database:
        store = ProductStore(database, "sku")
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
        store, asked = ProductStore(database, "sku"), []
        add(store, [("A", sure("shoe")), ("A", sure("hat"))])
        database.set_trace_callback(asked.append)
        assert (len(list(store.products())), store.disagreeing(["A"])) == (1, {"A"})
        database.set_trace_callback(None)
        plans = [step for query in asked for *_, step in database.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(asked) == 2
    assert not [step for step in plans if "TEMP B-TREE" in step]


GROUPED = [
    sure("shoe", 0.75, ("hat", 0.25)), unsure("hat", 0.5, ("shoe", 0.25)), failed(),
    sure("hat", 1.0), sure("shoe", 0.75), sure("hat", 0.75), unsure("shoe", 0.5), failed(),
]  # fmt: skip
PRODUCTS = ["A", "A", "A", "", "B", "B", "C", "D"]
GOLDEN = [
    ("A", "shoe", 0.5, "labeled", None, "shoe", 3, 2, 0.5, MODEL),
    ("B", "hat", 0.375, "review", "disagreement", None, 2, 2, 0.5, MODEL),
    ("C", "shoe", 0.5, "review", "threshold", None, 1, 1, 1.0, MODEL),
    ("D", None, None, "failed", None, None, 1, 0, None, MODEL),
]


GROUPS_FILE = "by_group.parquet"


def merged(job: Job, folder: Path) -> QuestionMerge:
    (folder / GROUPS_FILE).unlink(missing_ok=True)
    return merge_job(job, folder / "labels.parquet", folder)[1][0]


def grouped(job: Job, folder: Path) -> tuple[pa.Table, GroupCounts | None]:
    counts = merged(job, folder).groups
    return pq.read_table(folder / GROUPS_FILE), counts


def test_the_format_on_disk_is_this_one(answered_job, tmp_path: Path) -> None:
    table, counts = grouped(answered_job(GROUPED, PRODUCTS), tmp_path)
    assert table.schema.equals(
        pa.schema(
            [
                ("sku", pa.string()), ("label", pa.string()), ("confidence", pa.float32()),
                ("status", pa.string()), ("reason", pa.string()), ("accepted_label", pa.string()),
                ("rows", pa.int64()), ("readable", pa.int64()), ("agreement", pa.float32()), ("model", pa.string()),
            ]
        )
    )  # fmt: skip
    assert [tuple(row.values()) for row in table.to_pylist()] == GOLDEN
    assert counts == GroupCounts(column="sku", ungrouped=1, products=4, labeled=1, review=2, failed=1, disagreeing=1)


@pytest.mark.parametrize("excel_safe", [False, True])
def test_the_products_of_a_csv_are_a_csv_like_the_result(answered_job, tmp_path: Path, *, excel_safe: bool) -> None:
    options = JobOptions(group_column="sku", prefix="ht_", excel_safe=excel_safe)
    job = answered_job([sure("=shoe", 0.75), failed()], ["@A", "B"], options)
    job = replace(job, spec=job.spec.model_copy(update={"delimiter": ";"}))
    merge_job(job, tmp_path / "labels.csv", tmp_path)
    lines = (tmp_path / "by_group.csv").read_bytes().decode().splitlines()
    mark, quote = ("\ufeff", "'") if excel_safe else ("", "")
    assert lines[0].startswith(f"{mark}sku;ht_label;ht_confidence;ht_status;ht_reason;")
    assert lines[1].startswith(f"{quote}@A;'=shoe;0.75;labeled;;")
    assert lines[2].startswith("B;;;failed;;")
    assert not (tmp_path / GROUPS_FILE).exists()


NUMBERS = [7, 7, 7, None, -5, -5, 0, 2**63 - 1]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(NUMBERS, pa.int64()), pa.int64()),
        (pa.array([7, 7, 7, None, 1, 1, 0, 2**64 - 1], pa.uint64()), pa.uint64()),
        (pa.array([7, 7, 7, None, 1, 1, 0, 2], pa.int8()), pa.int8()),
        (pa.array(PRODUCTS, pa.large_string()), pa.large_string()),
        (pa.array(PRODUCTS).dictionary_encode(), pa.string()),
        (pa.array(NUMBERS, pa.int64()).dictionary_encode(), pa.int64()),
    ],
    ids=lambda case: str(getattr(case, "type", "")),
)
def test_the_group_column_keeps_its_type(answered_job, tmp_path: Path, column, kind) -> None:
    table, _ = grouped(answered_job(GROUPED, column), tmp_path)
    assert table.schema.field("sku").type == kind
    told = [cell for cell in dict.fromkeys(column.to_pylist()) if cell not in (None, "")]
    assert table.column("sku").to_pylist() == told
    assert [row[1:] for row in map(tuple, (r.values() for r in table.to_pylist()))] == [row[1:] for row in GOLDEN]


def test_a_job_without_products_has_no_such_file(answered_job, tmp_path: Path) -> None:
    assert grouped(answered_job([failed(), sure("hat")], [None, ""]), tmp_path)[0].num_rows == 0
    (tmp_path / GROUPS_FILE).unlink()
    assert merged(answered_job(GROUPED, PRODUCTS, JobOptions()), tmp_path).groups is None
    assert not (tmp_path / GROUPS_FILE).exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["A", "B", "", None]), ANSWERS), min_size=1, max_size=16), st.integers(1, 5))
def test_every_row_is_there_once_and_only_disagreement_changes_one(
    answered_job, tmp_path: Path, rows, chunk_rows
) -> None:
    products, answers = [product for product, _ in rows], [answer for _, answer in rows]
    job: Job = answered_job(answers, pa.array(products, pa.string()), chunk_rows=chunk_rows)
    done = merged(job, tmp_path)
    sure_labels = {
        product: {a.label for p, a in rows if p == product and a.status is Status.LABELED} for product in products
    }
    expected = [
        Status.REVIEW if a.status is Status.LABELED and p and len(sure_labels[p]) > 1 else a.status for p, a in rows
    ]
    table = pq.read_table(tmp_path / "labels.parquet")
    assert table.column("image").to_pylist() == [f"{row}.jpg" for row in range(len(rows))]
    assert table.column("label").to_pylist() == [answer.label for answer in answers]
    assert statuses(tmp_path) == expected
    assert done.groups.disagreeing == sum(len(labels) > 1 for product, labels in sure_labels.items() if product)
    assert done.groups.products == len({product for product in products if product})
    assert not list(tmp_path.glob("*.sqlite*"))


def test_rows_of_labeled_products_are_not_in_the_list_for_a_person(answered_job, tmp_path: Path) -> None:
    answers = [sure("hat", 0.9), unsure("hat", 0.4), unsure("hat", 0.4), unsure("shoe", 0.4)]
    merged(answered_job(answers, pa.array(["A", "A", "B", ""])), tmp_path)
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["3", "4"]
    assert statuses(tmp_path) == ["labeled", "review", "review", "review"], "the result keeps the row's own status"


def statuses(folder: Path) -> list[str]:
    return pq.read_table(folder / "labels.parquet").column("status").to_pylist()
