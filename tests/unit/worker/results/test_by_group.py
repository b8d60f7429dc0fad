from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogue.readers import JSON_FIELD
from models.errors import InputError
from tests.unit.worker.answers import MODEL, failed, sure, unsure
from worker.job.receipt import GROUPS_FILE, GroupCounts
from worker.request import JobOptions
from worker.results.merge import merge_job
from worker.results.products import check_group_column, product_names

ANSWERS = [
    sure("shoe", 0.75, ("hat", 0.25)), unsure("hat", 0.5, ("shoe", 0.25)), failed(),
    sure("hat", 1.0), sure("shoe", 0.75), sure("hat", 0.75), unsure("shoe", 0.5), failed(),
]  # fmt: skip
PRODUCTS = ["A", "A", "A", "", "B", "B", "C", "D"]
GOLDEN = [
    ("A", "shoe", 0.5, "labeled", None, 3, 2, 0.5, MODEL),
    ("B", "hat", 0.375, "review", "disagreement", 2, 2, 0.5, MODEL),
    ("C", "shoe", 0.5, "review", "threshold", 1, 1, 1.0, MODEL),
    ("D", None, None, "failed", None, 1, 0, None, MODEL),
]


def grouped(job, folder: Path) -> tuple[pa.Table, GroupCounts | None]:
    merged = merge_job(job, folder / "labels.parquet", folder)
    return pq.read_table(folder / GROUPS_FILE), merged.groups


def test_the_format_on_disk_is_this_one(answered_job, tmp_path: Path) -> None:
    table, counts = grouped(answered_job(ANSWERS, PRODUCTS), tmp_path)
    assert table.schema.equals(
        pa.schema(
            [
                ("sku", pa.string()), ("label", pa.string()), ("confidence", pa.float32()),
                ("status", pa.string()), ("reason", pa.string()), ("photos", pa.int64()),
                ("readable", pa.int64()), ("agreement", pa.float32()), ("model", pa.string()),
            ]
        )
    )  # fmt: skip
    assert [tuple(row.values()) for row in table.to_pylist()] == GOLDEN
    assert counts == GroupCounts(products=4, labeled=1, review=2, failed=1, disagreeing=1)


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
    table, _ = grouped(answered_job(ANSWERS, column), tmp_path)
    assert table.schema.field("sku").type == kind
    told = [cell for cell in dict.fromkeys(column.to_pylist()) if cell not in (None, "")]
    assert table.column("sku").to_pylist() == told
    assert [row[1:] for row in map(tuple, (r.values() for r in table.to_pylist()))] == [row[1:] for row in GOLDEN]


def test_many_products_are_all_there_in_order(answered_job, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(70_000)
    answers = [sure("shoe")] * len(order)
    table, counts = grouped(answered_job(answers, order, chunk_rows=7_000), tmp_path)
    assert table.column("sku").to_pylist() == order.tolist()
    assert counts == GroupCounts(products=70_000, labeled=70_000, review=0, failed=0, disagreeing=0)


def test_what_is_added_has_the_prefix_of_the_result(answered_job, tmp_path: Path) -> None:
    table, _ = grouped(answered_job(ANSWERS, PRODUCTS, JobOptions(group_column="sku", prefix="our_")), tmp_path)
    assert table.column_names[:3] == ["sku", "our_label", "our_confidence"]


def test_a_job_without_products_has_no_such_file(answered_job, tmp_path: Path) -> None:
    job = answered_job([failed(), sure("hat")], [None, ""])
    assert grouped(job, tmp_path)[0].num_rows == 0
    (tmp_path / GROUPS_FILE).unlink()
    merged = merge_job(answered_job(ANSWERS, PRODUCTS, JobOptions()), tmp_path / "labels.parquet", tmp_path)
    assert merged.groups is None
    assert not (tmp_path / GROUPS_FILE).exists()


def test_an_empty_cell_names_no_product() -> None:
    rows = pa.table({"sku": ["A", "", None, " "]})
    assert product_names(rows, "sku").to_pylist() == ["A", None, None, None]


@pytest.mark.parametrize(
    "field",
    [
        pa.field("sku", pa.float64()),
        pa.field("sku", pa.bool_()),
        pa.field("sku", pa.list_(pa.string())),
        pa.field("sku", pa.dictionary(pa.int8(), pa.float32())),
        pa.field("sku", pa.string(), metadata=JSON_FIELD),
    ],
    ids=str,
)
def test_cells_that_name_no_product_are_refused(field: pa.Field) -> None:
    with pytest.raises(InputError, match="Expected text, or whole numbers, in every cell of the --group-column sku"):
        check_group_column(pa.schema([field]), "sku", "")
    check_group_column(pa.schema([field]), None, "")


@pytest.mark.parametrize("name", ["label", "photos", "readable", "agreement", "reason"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    schema = pa.schema([(name, pa.string())])
    with pytest.raises(InputError, match="--prefix"):
        check_group_column(schema, name, "")
    check_group_column(schema, name, "our_")
