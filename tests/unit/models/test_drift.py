"""The precision of a catalogue's labels, estimated from its probabilities and a proof's rows."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from exporter.assemble import proof_rows
from models.drift import LabelShift, ProofRows
from models.statistics.calibration import calibrated
from models.statistics.thresholds import HeldOutRows

SHARES = {"as proved": (0.25, 0.75), "hard": (0.6, 0.4), "easy": (0.05, 0.95)}
THRESHOLDS = (0.75, 0.75)


def drawn(random: np.random.Generator, rows: int, shares: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of two classes; the first is harder to recognize."""
    labels = random.choice(2, rows, p=shares)
    margins = random.normal(np.where(labels == 0, 1.5, 4.0), 1.5)
    logits = np.stack([np.where(labels == 0, margins, -margins), np.zeros(rows)], axis=1)
    return calibrated(logits.astype(np.float32), 1.0), labels


def proof_of(random: np.random.Generator, rows: int = 3000) -> ProofRows:
    probabilities, labels = drawn(random, rows, SHARES["as proved"])
    found = proof_rows(
        [HeldOutRows(probabilities, labels, np.ones(rows, np.bool_), np.arange(rows))], ("a", "b"), [THRESHOLDS]
    )
    assert found is not None
    return found


def shift_of(random: np.random.Generator, mix: str, rows: int = 4000) -> tuple[LabelShift, float]:
    shift = LabelShift(proof_of(random), THRESHOLDS)
    probabilities, labels = drawn(random, rows, SHARES[mix])
    shift.add(probabilities.argmax(axis=1), probabilities.max(axis=1))
    sure = probabilities.max(axis=1) >= THRESHOLDS[0]
    return shift, float((probabilities.argmax(axis=1) == labels)[sure].mean())


@pytest.mark.parametrize("mix", SHARES)
def test_shares_and_precision_are_those_of_the_catalogue(mix: str) -> None:
    shift, right = shift_of(np.random.default_rng(5), mix)
    expected = shift.expected(0.5)
    assert expected is not None
    assert expected.shares["a"] == pytest.approx(SHARES[mix][0], abs=0.03)
    assert expected.proof_shares["a"] == pytest.approx(0.25, abs=0.03)
    assert expected.precision == pytest.approx(right, abs=0.01)
    assert expected.low < expected.precision < expected.high
    assert expected.raised is None


def test_a_raised_threshold_keeps_the_promise() -> None:
    random = np.random.default_rng(6)
    shift, right = shift_of(random, "hard")
    promise = right + 0.02
    expected = shift.expected(promise)
    assert expected is not None
    assert expected.raised is not None
    assert THRESHOLDS[0] < expected.raised < 1
    probabilities, labels = drawn(random, 50_000, SHARES["hard"])
    kept = probabilities.max(axis=1) >= expected.raised
    assert (probabilities.argmax(axis=1) == labels)[kept].mean() >= promise


def test_no_threshold_is_high_enough_for_a_promise_that_no_row_keeps() -> None:
    shift = LabelShift(
        ProofRows(labels=("a", "b"), edges=(0.5,), rows=((0, 0, 1, 80), (1, 0, 1, 20)), effective_rows=100.0),
        (0.5, 0.5),
    )
    shift.add(np.zeros(50, np.intp), np.full(50, 0.75, np.float32))
    expected = shift.expected(0.95)
    assert expected is not None
    assert expected.raised is not None
    assert expected.raised > 1


def test_answers_that_the_proof_has_never_given_change_no_share() -> None:
    proof = ProofRows(labels=("a", "b", "c"), edges=(0.5,), rows=((0, 0, 1, 50), (1, 1, 1, 50)), effective_rows=100.0)
    shift = LabelShift(proof, (0.5, 0.5, None))
    shift.add(np.array([0] * 30 + [1] * 30 + [2] * 40), np.full(100, 0.75, np.float32))
    expected = shift.expected(0.95)
    assert expected is not None
    assert expected.shares == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})


def test_fewer_than_thirty_rows_or_no_threshold_tell_nothing() -> None:
    proof = proof_of(np.random.default_rng(7))
    shift = LabelShift(proof, THRESHOLDS)
    shift.add(np.zeros(29, np.intp), np.ones(29, np.float32))
    assert shift.expected(0.95) is None
    shift.add(np.zeros(1, np.intp), np.ones(1, np.float32))
    assert shift.expected(0.95) is not None
    nothing = LabelShift(proof, (None, None))
    nothing.add(np.zeros(40, np.intp), np.ones(40, np.float32))
    assert nothing.expected(0.95) is None


def test_a_proof_counts_each_row_within_the_limit_once_and_photos_of_a_product_less() -> None:
    probabilities, labels = drawn(np.random.default_rng(8), 90, SHARES["as proved"])
    known = np.arange(90) % 3 > 0
    proof = proof_rows([HeldOutRows(probabilities, labels, known, np.arange(90) // 2)], ("a", "b"), [(0.75, None)])
    assert proof is not None
    assert sum(row[3] for row in proof.rows) == 60
    assert 30 < proof.effective_rows < 60
    assert np.float32(0.75) in np.array(proof.edges, np.float32)
    assert ProofRows.model_validate_json(proof.model_dump_json()) == proof


@pytest.mark.parametrize(
    "change",
    [{"edges": [0.5, 0.5]}, {"rows": [[0, 2, 0, 1]]}, {"rows": [[0, 0, 2, 1]]}, {"rows": []}, {"effective_rows": 0}],
)
def test_a_damaged_proof_is_refused(change: dict[str, object]) -> None:
    sound = {"labels": ["a", "b"], "edges": [0.5], "rows": [[0, 1, 1, 3]], "effective_rows": 3.0}
    assert ProofRows.model_validate_json(json.dumps(sound))
    with pytest.raises(ValidationError):
        ProofRows.model_validate_json(json.dumps(sound | change))
