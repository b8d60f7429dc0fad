"""Messages of ``hangtag retrain``: settings, collected data, and the gate's decision."""

from pathlib import Path

import pytest

from tests.command import run_hangtag
from tests.messages.golden import check_messages
from tests.unit.trainer.retrain.gate_cases import (
    FIRST,
    FIRST_AUTOMATION,
    NO_TEST,
    a_class,
    automatic,
    automation,
    brier,
    catalogue,
    comparison,
    judged,
    new_class,
)
from tests.unit.trainer.retrain.test_config import CASES, written
from trainer.retrain.collect import collected_notes
from trainer.retrain.cycle_folder import Calibration, Collected, Comparison, Correction, Footprint, GateVerdict

FEW = {"hat": a_class(), "lamp": a_class(photos=2, before=1.0, spread=60), "vase": new_class(0.0, photos=0)}
LOST = {"hat": a_class(4.0), "dress": a_class(-15.3, 10.7, before=0.921), "vase": a_class(-20, 15)}
NEW = {"hat": a_class(), "scarf": new_class(0.4), "shawl": new_class(0.8), "glove": new_class(0.0, photos=0)}
NOTHING = {"challenger_precision": None, "own_precision": None, "challenger": automatic(0, 0)}


def first(**changes: object) -> Comparison:
    return comparison(**{**FIRST, **changes})


def automatic_labels(points: float = -1.6, **changes: object) -> Comparison:
    return comparison(automation=automation(points, **changes))


def calibrated(after: float, low: float) -> Comparison:
    return comparison(calibration=Calibration(champion=0.03, challenger=after, difference_95=(low, 0.08)))


GATE: dict[str, tuple[str | None, GateVerdict]] = {
    "a challenger that passes": (None, judged(comparison())),
    "no test photos": ("test_photos", judged(comparison(**NO_TEST))),
    "a small test": ("test_photos", judged(comparison(smallest_points=9.1))),
    "test photos are gone": ("test_photos", judged(comparison(unread=8))),
    "no gain": ("accuracy", judged(comparison(points=0.0))),
    "too little gain": ("accuracy", judged(comparison(), min_gain_points=3)),
    "a gain by chance": ("accuracy", judged(comparison(brier=brier(0.9)))),
    "worse probabilities": ("accuracy", judged(comparison(brier=brier(-0.9)))),
    "no Brier scores": ("accuracy", judged(comparison(brier=None))),
    "accuracy may have fallen": ("interval", judged(comparison(points_95=(-4.0, 3.6)))),
    "classes lose": ("recall", judged(comparison(classes=LOST))),
    "classes have few photos": ("recall", judged(comparison(classes=FEW), max_class_loss_points=30)),
    "any loss counts": ("recall", judged(comparison(classes=FEW), max_class_loss_points=0)),
    "new classes": ("new_classes", judged(comparison(classes=NEW, new_classes=("scarf", "shawl", "glove")))),
    "classes vanish": ("vanished_classes", judged(comparison(vanished=("boots", "vase")))),
    "a first model": (None, judged(first())),
    "a first model like one word": ("min_accuracy", judged(first(challenger_all=0.02, photos=400, all_photos=400))),
    "an absolute limit": ("min_accuracy", judged(comparison(challenger_all=0.79), min_accuracy=0.8)),
    "calibration by noise": ("calibration", judged(calibrated(0.06, -0.001))),
    "worse calibration": ("calibration", judged(calibrated(0.06, 0.001))),
    "more for people, by noise": (
        "coverage",
        judged(automatic_labels(-6.0, points_95=(-12.1, 0.1)), max_coverage_loss_points=5),
    ),
    "more for people": ("coverage", judged(automatic_labels(-20.0))),
    "thresholds are to blame": ("coverage", judged(automatic_labels(-20.0, surest=automatic(280, 5)))),
    "another promise": ("coverage", judged(automatic_labels(-20.0, challenger_precision=0.95))),
    "a promise of its own": ("coverage", judged(automatic_labels(own_precision=0.99, own=automatic(200, 1)))),
    "no promise": ("coverage", judged(automatic_labels(-75.0, **NOTHING))),
    "a first model that promises nothing": (
        "coverage",
        judged(first(automation=automation().model_copy(update={**FIRST_AUTOMATION, **NOTHING}))),
    ),
    "wrong labels, by noise": ("precision", judged(automatic_labels(everywhere=automatic(274, 7, 0.985)))),
    "a promise broken more often": ("precision", judged(automatic_labels(everywhere=automatic(274, 14, 0.975)))),
    "a promise broken as before": ("precision", judged(automatic_labels(everywhere=automatic(274, 4, 0.975)))),
    "too large": (
        "size",
        judged(
            comparison(
                challenger_footprint=Footprint(compared_bytes=4_000_000, default_bytes=4_000_000, images_per_s=380.0)
            )
        ),
    ),
    "too slow": (
        "speed",
        judged(
            comparison(
                challenger_footprint=Footprint(compared_bytes=2_000_000, default_bytes=2_000_000, images_per_s=80.0)
            )
        ),
    ),
    "too large for a limit": ("absolute_size", judged(comparison(), max_size_mb=2.0)),
    "a catalogue changes": ("catalogue", judged(comparison(), catalogue(), max_changed_share=0.03)),
    "no catalogue": ("catalogue", judged(comparison(), None, max_changed_share=0.03)),
    "hardly any rows": ("catalogue", judged(comparison(), catalogue(0, 9, 10), max_changed_share=0.03)),
}
"""Title → the check whose sentence is shown, or all of them."""
MARKS = {(True, False, False): "✓", (True, False, True): "?"}


def gate_lines(check: str | None, verdict: GateVerdict) -> str:
    shown = [one for one in verdict.checks if check in {None, one.name}]
    assert shown
    marks = [MARKS.get((one.passed, one.doubtful, one.unsure), "!" if one.passed else "✗") for one in shown]
    return "\n".join(f"{mark} {one.name}: {one.sentence}" for mark, one in zip(marks, shown, strict=True))


def collected() -> Collected:
    outcomes = ["added", "applied", "added", *["not_found"] * 5, "conflict", "conflict"]
    corrections = tuple(
        Correction(image=f"/{number}.jpg", label="hat", was=None, reviewer="anna", outcome=outcome)
        for number, outcome in enumerate(outcomes)
    )
    photos = {"hat": 3, "hatt": 1, "cap": 2}
    return Collected(fingerprint="", photos=photos, new=0, gone=0, relabeled=0, corrections=corrections)


def test_what_retrain_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = {title: gate_lines(*verdict) for title, verdict in GATE.items()}
    outputs["what was collected"] = "\n".join(collected_notes(collected(), {"hat"}))
    for more, key in CASES:
        outputs[f"{key}: {more!r}"] = run_hangtag("retrain", written(tmp_path, more)).stderr
    outputs["--when drift"] = run_hangtag("retrain", written(tmp_path, ""), "--when", "drift").stderr
    outputs["no photos"] = run_hangtag("retrain", written(tmp_path, "")).stderr
    outputs["no file"] = run_hangtag("retrain", tmp_path / "gone.toml").stderr
    check_messages("retrain", outputs, {tmp_path: "FOLDER"})
