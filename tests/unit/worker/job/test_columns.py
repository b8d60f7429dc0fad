"""Catalogues with a column that labelling adds, and columns that cannot name products."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InputError
from worker.job.writer import requested_catalogue
from worker.request import JobOptions, JobRequest


def requested(folder: Path, columns: dict[str, object], model: object = "shop", trees=(), **options: object) -> None:
    pq.write_table(pa.table({"photo": ["a.jpg"], **columns}), folder / "a.parquet")
    request = JobRequest(folder / "a.parquet", model, JobOptions(image_column="photo", **options))
    requested_catalogue(request, ".parquet", trees)


@pytest.mark.parametrize("prefix", ["", "ht_"])
@pytest.mark.parametrize("name", ["label", "accepted_label", "reason", "unknown", "label_2", "confidence_2"])
def test_a_column_of_ours_in_the_catalogue_is_refused_naming_prefix(tmp_path: Path, name: str, prefix: str) -> None:
    with pytest.raises(InputError, match=f"{prefix}{name}, .*--prefix"):
        requested(tmp_path, {prefix + name: ["x"]}, prefix=prefix)
    with pytest.raises(InputError, match=f"(?i){prefix}{name}, .*--prefix"):
        requested(tmp_path, {(prefix + name).upper(): ["x"]}, prefix=prefix)  # Excel and SQL take them for one column
    requested(tmp_path, {prefix + name: ["x"]}, prefix="other_")


def test_a_column_of_a_tree_or_of_several_questions_is_refused_where_there_is_one(tmp_path: Path) -> None:
    requested(tmp_path, {"leaf_guess": ["x"]})
    with pytest.raises(InputError, match="leaf_guess"):
        requested(tmp_path, {"leaf_guess": ["x"]}, trees=[""])
    models = {"kind": "shop", "hue": "hues"}
    requested(tmp_path, {"label": ["x"], "hue_leaf_guess": ["x"]}, models, ["kind"])
    for name, trees in (("hue_label", []), ("hue_leaf_guess", ["hue"]), ("status", [])):
        with pytest.raises(InputError, match=name):
            requested(tmp_path, {name: ["x"]}, models, trees)


GROUPS = {
    "floats": ([1.5], True),
    "lists": ([["a"]], True),
    "whole numbers": ([7], False),
    "a dictionary": (pa.array(["a"]).dictionary_encode(), False),
}


@pytest.mark.parametrize(("cells", "refused"), GROUPS.values(), ids=GROUPS)
def test_products_are_named_by_text_or_whole_numbers(tmp_path: Path, cells: object, refused: bool) -> None:
    if refused:
        with pytest.raises(InputError, match="--group-column sku"):
            requested(tmp_path, {"sku": cells}, group_column="sku")
    else:
        requested(tmp_path, {"sku": cells}, group_column="sku")


def test_a_group_column_of_json_or_with_a_name_of_a_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"image": "a.jpg", "sku": 1}\n{"image": "b.jpg", "sku": "x"}\n')
    with pytest.raises(InputError, match="--group-column sku"):
        requested_catalogue(JobRequest(tmp_path / "a.jsonl", "shop", JobOptions(group_column="sku")), ".csv")
    for name in ("rows", "agreement", "Readable"):  # of by_group
        with pytest.raises(InputError, match="--prefix"):
            requested(tmp_path, {name: ["x"]}, group_column=name)
        requested(tmp_path, {name: ["x"]}, group_column=name, prefix="ht_")
    for name in ("Row", "correct_label"):  # of review.csv
        with pytest.raises(InputError, match="--prefix"):
            requested(tmp_path, {name: ["x"]}, group_column=name)


def test_the_group_column_of_a_job_is_spelled_as_in_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Handle,Image Src\nx,a.jpg\n")
    request = JobRequest(tmp_path / "a.csv", "shop", JobOptions(group_column="handle"))
    assert requested_catalogue(request, ".csv")[1].group_column == "Handle"


def test_an_image_column_with_a_name_of_the_review_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("row,sku\na.jpg,1\n")
    with pytest.raises(InputError, match="--prefix"):
        requested_catalogue(JobRequest(tmp_path / "a.csv", "shop", JobOptions(image_column="row")), ".csv")


@pytest.mark.parametrize("names", [[], ["a", "A"], ["a b"], ["x" * 41], ["../x"], [""], ["colour\n"]])
def test_the_name_of_a_question_leads_out_of_no_folder(names: list[str]) -> None:
    with pytest.raises(InputError, match="category=shop@champion"):
        _ = JobRequest("a.csv", dict.fromkeys(names, "shop")).models


def test_photos_that_name_products_are_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([b"a.jpg", b"caf\xe9.jpg"]).view(pa.string())}), tmp_path / "a.parquet")
    for column in (None, "image"):
        request = JobRequest(tmp_path / "a.parquet", "shop", JobOptions(group_column=column))
        catalogue, _ = requested_catalogue(request, ".parquet")
        if column is None:
            assert next(catalogue.batches).num_rows == 2
        else:
            with pytest.raises(InputError, match=r"'image' .* row 2"):
                next(catalogue.batches)
