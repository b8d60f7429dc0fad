"""The format of ``receipt.json``, and the choice of a job's receipt."""

import json
from pathlib import Path

import pytest

from models.errors import JobError
from models.storage.storage import FolderStorage
from tests.photo_jobs import photo_job
from worker.job.receipt import ClassMix, Receipt, finished_receipt

RECEIPT = {
    "schema_version": 1, "job": "0123456789ab", "source": "/srv/products.csv",
    "output": "/srv/jobs/spring/labels.parquet", "finished_at": "2026-11-21T05:00:00+00:00", "rows": 3,
    "by_status": {"labeled": 1, "review": 1, "failed": 1},
    "errors": {
        "missing": {"count": 1, "examples": [{"row": 3, "image": None, "message": "The cell is empty."}]}
    },
    "left_out": {".heic": 2}, "retry": 1,
    "work": {"hosts": {"shop-7": 3}, "processes": 2, "deaths": 1},
    "run": {"images": 1, "seconds": 0.5, "workers": 2}, "images_per_s": 2.0,
    "photos": {
        "downloaded": 2, "unchanged": 0, "bytes": 56000, "decoded": 1, "repeated": 1, "carried": 0,
        "download_s": 0.4, "decode_s": 0.0, "inference_s": 0.1,
    },
    "model": {
        "path": "/models/shop", "reference": "shop/1/float32@abc", "variant": "float32",
        "digest": "a" * 64, "precision": 0.98, "all_to_review": False, "threshold": None, "taxonomy": None,
    },
    "by_label": {"shoe": 2}, "by_level": {}, "review_by_label": {"shoe": 1}, "review_reasons": {"unknown": 1},
    "confidence_histogram": [0] * 18 + [1, 1],
    "groups": {
        "column": "sku", "ungrouped": 0, "products": 2, "labeled": 1, "review": 1, "failed": 0, "disagreeing": 0,
    },
    "groups_file": "/srv/jobs/spring/by_group.parquet", "review_file": "/srv/jobs/spring/review.csv",
    "named": {"asked": "shop@champion", "version": "shop@3"},
    "drift": {
        "confidence_psi": 0.31, "label_psi": 0.02, "rows": 2, "warning": None,
        "reference": {"confidence_histogram": [0] * 19 + [1], "by_label": {"shoe": 1}, "outliers": None},
        "finding": "They are alike.",
    },
    "repeated": [{"rows": 800, "row": 3, "image": "hat.jpg"}],
    "mix": {
        "promised": 0.95, "expected": 0.931, "low": 0.92, "high": 0.94, "raised": 0.875, "shares": ["hat", 0.49, 0.37],
    },
    "audit": None,
}  # fmt: skip


def test_the_format_on_disk_is_this_one() -> None:
    text = json.dumps(RECEIPT, indent=1)
    assert Receipt.model_validate_json(text).model_dump_json(indent=1) == text


def test_a_receipt_of_another_job_is_none_and_one_of_another_version_is_refused(tmp_path: Path) -> None:
    job = photo_job(tmp_path)
    for change, finished in (({"job": "job", "retry": 0}, True), ({}, False), ({"job": "job"}, False)):
        job.storage.replace("receipt.json", json.dumps(RECEIPT | change).encode())
        assert (finished_receipt(job) is not None) is finished
    FolderStorage(tmp_path).replace("receipt.json", json.dumps(RECEIPT | {"schema_version": 2}).encode())
    with pytest.raises(JobError, match=r"receipt\.json"):
        finished_receipt(job)


@pytest.mark.parametrize(
    ("low", "words"),
    [(1.0, "no proof photo gets a wrong label; 95%"), (0.96, "99.0% (from 96.0% to 100.0%) of the")],
)
def test_a_proof_without_a_wrong_label_has_no_interval(low: float, words: str) -> None:
    mix = ClassMix(promised=0.95, expected=0.99, low=low, high=1.0, raised=None, shares=("shoe", 0.5, 0.4))
    assert words in mix.words
