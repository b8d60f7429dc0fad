import hashlib
import json
from pathlib import Path

import pytest

from models.bundle import open_bundle
from models.errors import BundleError
from models.reference_answers import REFERENCE_FILE, answers_of, dump_reference, read_reference
from tests.paper_bundle import write_paper_bundle

ANSWERS = answers_of(["boots", "hats", "boots"], [0.5, 1.0, 0.0])


def with_reference(folder: Path, data: bytes) -> Path:
    """A bundle that lists such a file."""
    bundle = write_paper_bundle(folder, 1)
    (bundle / REFERENCE_FILE).write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"][REFERENCE_FILE] = hashlib.sha256(data).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def test_what_was_written_is_read(tmp_path: Path) -> None:
    bundle = open_bundle(with_reference(tmp_path, dump_reference({"float32": ANSWERS})))
    assert read_reference(bundle, "float32") == ANSWERS
    assert read_reference(bundle, "int8") is None
    assert ANSWERS.by_label == {"boots": 2, "hats": 1}
    assert {place: count for place, count in enumerate(ANSWERS.confidence_histogram) if count} == {0: 1, 10: 1, 19: 1}


def test_a_bundle_from_before_has_none(tmp_path: Path) -> None:
    assert read_reference(open_bundle(write_paper_bundle(tmp_path, 1)), "float32") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"by_label": {"boots": 3, "hats": -1, "caps": 1}},
        {"by_label": {"boots": 9}},
        {"confidence_histogram": [0] * 20},
        {"confidence_histogram": [3]},
    ],
)
def test_what_cannot_be_compared_with_is_refused_before_a_job(tmp_path: Path, wrong: dict[str, object]) -> None:
    whole = json.loads(dump_reference({"float32": ANSWERS}))
    whole["variants"]["float32"] |= wrong
    bundle = open_bundle(with_reference(tmp_path, json.dumps(whole).encode()))
    with pytest.raises(BundleError, match=r"reference\.json is damaged, or of a later Hangtag"):
        read_reference(bundle, "float32")
