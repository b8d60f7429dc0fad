"""A training's output on a terminal of 80 columns."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from models.errors import ExitCode, StoppedError
from tests.unit.trainer.report.materials import made
from tests.unit.trainer.run_files import ARGS
from trainer.console import TrainingScreen, _resumable, _show_result, figures_table, show_evaluation
from trainer.data.dataset import Split
from trainer.judging.figures import advice_for_promise
from trainer.report.material import ReportMaterial
from trainer.request import Preset
from trainer.run import EpochFigures, Run, RunState
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.prepare import Prepared
from trainer.train import TrainResult

WIDTH = 80


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=WIDTH)


def lines(console: Console) -> list[str]:
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def evaluated(material: ReportMaterial, console: Console) -> list[str]:
    show_evaluation(material.evaluation, material.args, console)
    return lines(console)


def epochs(console: Console, rows: Sequence[EpochFigures], of: int) -> list[str]:
    """Two lines of headings, a line for each epoch, and the final lines."""
    photos = [AssignedPhoto(Path("1.jpg"), "hat", Split.TRAIN, "1", "1")]
    args = made().args.model_copy(update={"epochs": of})
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared(photos, [], ("dress", "hat", "shoes"), ()), args)
        for row in rows:
            screen.epoch(row, of)
    return lines(console)[3:]


def epoch(number: int, *, best: bool = True) -> EpochFigures:
    return EpochFigures(number, 2.3602, 0.1771, 2.2770, 0.25, 0.00197, images_per_s=1345, seconds=90, best=best)


def test_an_epoch_is_a_line_and_the_best_have_a_star(console) -> None:
    said = epochs(console, [epoch(1), epoch(2, best=False)], 300)[2:]
    assert ["★" in line for line in said] == [True, False]
    for part in ("1/300", "2.360", "0.177", "2.277", "0.250", "1,345 "):
        assert part in said[0]
    assert [line.split()[-1] for line in said] == ["448:30", "447:00"]


def test_a_long_step_is_a_line_in_a_log_and_said_once(console) -> None:
    now = [0.0]
    with TrainingScreen(console, clock=lambda: now[0]) as screen:
        screen.advance("Decoding", 1, 2)
        for number in (1, 2):
            for done in range(5):
                screen.advance(f"Cross-validation, network {number} of 5", done, 5)
                now[0] += 4.0
    assert lines(console) == ["Cross-validation, network 1 of 5 …", "Cross-validation, network 2 of 5 …"]


@pytest.mark.parametrize("test", [True, False])
def test_all_that_is_said_fits_80_columns_unwrapped(console, test) -> None:
    said = evaluated(made(each=60, test=test, noise_level=2.5), console)
    word = "test" if test else "validation"
    assert max(map(len, said)) <= WIDTH
    assert any(line.startswith(f"{word} accuracy 0.") and "calibration error 0." in line for line in said)
    (headings,) = (line for line in said if "--precision" in line)
    assert [name.strip() for name in headings.strip("┃").split("┃")] == [
        "--precision",
        "expected",
        f"on {word}",
        "right",
        "95%",
        "wrong",
    ]


def test_with_folds_the_time_left_is_that_of_all_networks(console) -> None:
    args = ARGS.model_copy(update={"folds": 5, "cv": True})
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), args)
        screen.epoch(replace(epoch(1), seconds=12), 10)
    assert lines(console)[-1].split()[-1] == "9:48", "9 epochs, and 40 of five networks that each lack a fifth"


def test_the_time_left_ignores_the_first_epochs_compilation(console) -> None:
    first = replace(epoch(1), compile_s=60)
    assert [line.split()[-1] for line in epochs(console, [first, replace(epoch(2), seconds=30)], 11)[2:]] == [
        "5:00",
        "4:30",
    ]


def test_the_head_and_the_fine_tuning_to_come_are_announced(console, tmp_path) -> None:
    material, run = made(), Run(tmp_path / "run")
    head = material.args.model_copy(update={"epochs": 0, "epochs_done": 0, "best_epoch": 0, "folds": 5, "cv": True})
    tuned = material.args.model_copy(update={"epochs": 6, "epochs_done": 0, "folds": 2})
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), head)
        screen.goes_on(material.evaluation, run, tuned, 480.0)
        screen.epoch(epoch(1), 6)
        screen.goes_on(material.evaluation, run, tuned.model_copy(update={"epochs_done": 1}), None)
    said = " ".join(lines(console)).partition("random weights")[2]
    assert ": a head on its features, 5-fold cross-validation Without fine-tuning, 90 test photos: accuracy 0." in said
    assert "Now fine-tuning: 6 epochs and 2 folds, about 8 min; this may improve the figures. Ctrl-C keeps the" in said
    assert str(run.report) in said.replace(" ", "")
    assert "Now fine-tuning: 6 epochs (1 done) and 2 folds; this may" in said, "after a resume"
    assert sum(line.startswith("  1/6 ") for line in lines(console)) == 1
    assert sum("★ best on validation" in line for line in lines(console)) == 2


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "before the training began"),
        (("args.json",), "before the first result"),
        (("weights/state.npz", "confidence.json"), "before all files were written"),
        (
            ("confidence.json", "finetuning/weights/state.npz"),
            "the head is kept; continue with: hangtag train --resume",
        ),
    ],
)
def test_who_presses_ctrl_c_twice_is_told_what_is_kept(tmp_path, files, said) -> None:
    for file in files:
        (tmp_path / "run" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / file).touch()
    with pytest.raises(StoppedError, match=said), _resumable(tmp_path / "run"):
        raise KeyboardInterrupt


def test_a_head_kept_after_ctrl_c_can_be_exported_or_fine_tuned(console, tmp_path) -> None:
    material, run = made(state=RunState.INTERRUPTED), Run(tmp_path / "run")
    args = material.args.model_copy(update={"epochs": 0, "epochs_done": 0, "best_epoch": 0})
    assert _show_result(TrainResult(run, args, material.evaluation), console, as_json=False) is ExitCode.INTERRUPTED
    said = "".join(lines(console))
    assert "Result: a head on the pretrained features" in said
    assert f"hangtag train --resume {run.path}" in said
    assert f"hangtag export {run.path}" in said


def test_a_quick_training_ends_with_how_to_fine_tune_from_its_features(console, tmp_path) -> None:
    material, run = made(), Run(tmp_path / "my run")
    args = material.args.model_copy(update={"epochs": 0, "preset": Preset.QUICK, "image_size": 224})
    _show_result(TrainResult(run, args, material.evaluation), console, as_json=False)
    same = "the same command with --preset good --image-size 224 --name 'my run-good'"
    assert lines(console)[-1] == f"To fine-tune the network from these features: {same}"


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({"preset": Preset.QUICK}, "train without --preset quick"),
        ({"time_limit_s": 20.0}, "allow more time, to fine-tune the network"),
        ({"state": RunState.INTERRUPTED}, "continue the training"),
    ],
)
def test_the_advice_for_a_promise_names_fine_tuning_where_there_was_none(changes, way) -> None:
    args = made().args.model_copy(update={"epochs": 0, "state": RunState.COMPLETE, "time_limit_s": None} | changes)
    assert advice_for_promise(args, folds_may_prove=False).startswith(f"For a promise, {way}")


@pytest.mark.parametrize(
    ("state", "code", "command"),
    [
        (RunState.COMPLETE, ExitCode.OK, "Next: hangtag export"),
        (RunState.INTERRUPTED, ExitCode.INTERRUPTED, "Interrupted. Continue with: hangtag train --resume"),
    ],
)
def test_a_long_path_can_be_copied_in_one_piece(console, tmp_path, state, code, command) -> None:
    material, run = made(state=state), Run(tmp_path / f"{'long ' * 20}[bold]")
    result = TrainResult(run, material.args, material.evaluation)
    assert _show_result(result, console, as_json=False) is code
    assert f"Look at: {run.report}" in lines(console)
    assert f"Run: {run.path}" in lines(console)
    assert f"{command} '{run.path}'" in lines(console)


def test_of_many_classes_those_with_the_lowest_f1_are_shown() -> None:
    figures = made().evaluation.val
    one = next(iter(figures.classes.values())).model_copy(update={"support": 2})
    classes = {f"class {n}": one.model_copy(update={"f1": 0.5 + n / 100}) for n in range(40)}
    figures = figures.model_copy(update={"classes": dict(reversed(classes.items()))})
    names, *_, photos = (list(column.cells) for column in figures_table(figures, "Epoch 3").columns)
    assert names == [*list(classes)[:12], "28 better", "mean"]
    assert photos[-2] == "56"
