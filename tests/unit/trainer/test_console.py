"""What is said of a training on a terminal of 80 columns."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from trainer.figures_console import show_evaluation

from models.errors import ExitCode
from tests.unit.trainer.report.materials import made, with_outcome
from tests.unit.trainer.run_files import ARGS
from trainer.console import TrainingScreen, _show_result
from trainer.data.dataset import Split
from trainer.judging.evaluate import CrossValidated
from trainer.report.material import ReportMaterial
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
    """Two lines of headings and a line for each epoch, and what is said at the end."""
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


@pytest.mark.parametrize(
    ("cv", "minutes", "said", "times"),
    [
        (True, 10, "This network takes about 2 min, its 5 folds a little less each, 9 min in all", 1),
        (True, 8, "This network", 0),
        (False, 8, "This network takes about 2 min, its 5 folds a third of that each, 4 min in all", 1),
    ],
)
def test_with_folds_the_time_of_all_networks_is_said_if_it_is_within_the_limit(
    console, cv, minutes, said, times
) -> None:
    args = ARGS.model_copy(update={"folds": 5, "cv": cv, "time_limit_s": 60.0 * minutes})
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), args)
        for number, seconds in enumerate((60, 11, 11), 1):
            screen.epoch(replace(epoch(number), seconds=seconds), 10)
    text = lines(console)
    assert "\n".join(text).count(said) == times
    assert f"{minutes} min in all" in " ".join(text)


def test_what_all_networks_take_is_not_said_once_folds_are_given_up(console) -> None:
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), ARGS.model_copy(update={"folds": 5, "cv": True}))
        screen.note("8 min are too little time for 5 folds")
        for number in (1, 2, 3):
            screen.epoch(epoch(number), 10)
    assert "This network" not in " ".join(lines(console))


def test_the_data_is_summed_up_with_its_notes(console) -> None:
    splits = [Split.TRAIN] * 8 + [Split.VAL, Split.TEST]
    photos = [AssignedPhoto(Path(f"{i}.jpg"), "ab"[i % 2], split, str(i), str(i)) for i, split in enumerate(splits)]
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared(photos, [], ("hat", "vase"), ("1 photos are exact duplicates of another",)), ARGS)
    text = "\n".join(lines(console))
    for part in ("10 photos, 2 classes: 8 train, 1 val, 1 test", "exact duplicates", "cnn at 64×64 px", "40 epochs"):
        assert part in text


def test_a_training_that_patience_ends_says_so(console) -> None:
    """Ctrl-C, and a time limit, end it for other reasons."""
    rows = [epoch(n, best=n == 1) for n in range(1, 10)]
    args = made().args
    ended = f"Ended after 9 of {args.epochs} epochs: the last 8 were no better (--patience 8)"
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), args.model_copy(update={"epochs_done": 0}))
        for row in rows:
            screen.epoch(row, 9)
        assert lines(console)[-1] == ended
        screen.epoch(epoch(10), 10)
    assert "Ended" not in lines(console)[-1]


def test_a_long_step_is_a_line_in_a_log_and_said_once(console) -> None:
    now = [0.0]
    with TrainingScreen(console, clock=lambda: now[0]) as screen:
        screen.advance("Decoding", 1, 2)
        for number in (1, 2):
            for done in range(5):
                screen.advance(f"Cross-validation, network {number} of 5", done, 5)
                now[0] += 4.0
    assert lines(console) == ["Cross-validation, network 1 of 5 …", "Cross-validation, network 2 of 5 …"]


def test_bars_leave_nothing_in_a_log(console) -> None:
    with TrainingScreen(console) as screen:
        screen.advance("Decoding", 1, 2)
        screen.step(1, 2)
        screen.epoch(epoch(1), 1)
    assert len(lines(console)) == 1


def ends(line: str) -> list[int]:
    """Where the words of a line end."""
    return [found.end() for found in re.finditer(r"\S+", line)]


@pytest.mark.parametrize("loss", [0.0312, 12.3456, 1234.5, float("nan")])
@pytest.mark.parametrize(("number", "of", "size"), [(2, 6, 48), (212, 300, 224)])
def test_figures_end_under_their_headings(console, loss, number, of, size) -> None:
    row = EpochFigures(
        number, loss, 0.1771, loss, 0.25, 0.001, size=size, images_per_s=1345, waiting=1.0, seconds=7200, best=True
    )
    groups, headings, line = epochs(console, [row], of)
    _, *heading_ends = ends(headings)  # the epoch's slash stands in the middle
    figures = ends(line.replace(" px", "_px").replace(" img/s", "_img/s").replace("★", " "))
    assert figures[1:] == heading_ends
    assert "img/s" in line
    assert ends(groups) == [heading_ends[2], heading_ends[4]]
    assert max(map(len, (groups, headings, line))) <= WIDTH


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


def test_the_label_errors_are_counted_with_what_such_a_list_shows(console) -> None:
    said = evaluated(made(), console)
    assert "60 likely label errors: look at label_issues.csv, and correct what is wrong" in said
    assert "(in a trial, such a list showed 62 to 88% of the labels that were made wrong)" in said


def test_figures_out_of_fold_are_of_no_epoch(console) -> None:
    material = made(test=False)
    cv = CrossValidated(**dict(material.evaluation.val.model_copy(update={"n": 900})), folds=5)
    args = material.args.model_copy(update={"folds": 5, "cv": True})
    show_evaluation(material.evaluation.model_copy(update={"cv": cv}), args, console)
    assert lines(console)[0] == "5 folds, on 900 out-of-fold photos"


def test_beside_figures_out_of_fold_those_of_the_few_test_photos_are_said(console) -> None:
    material = made()
    cv = CrossValidated(**dict(material.evaluation.val.model_copy(update={"n": 900})), folds=5)
    test = material.evaluation.test.model_copy(update={"n": 24, "accuracy": 22 / 24, "accuracy_95": (0.73, 0.99)})
    evaluation = material.evaluation.model_copy(update={"cv": cv, "test": test})
    show_evaluation(evaluation, material.args.model_copy(update={"folds": 5, "cv": True}), console)
    said = lines(console)
    assert "test accuracy 0.9167 (95%: 0.730–0.990), 24 photos" in said
    assert "(rely on the figure from 900 photos: with more photos, less is chance)" in said
    assert any("on test" in line for line in said if "--precision" in line)
    assert "Kept: epoch 5, with averaged weights" in said


def test_where_labels_were_not_judged_nothing_is_said_of_them(console) -> None:
    assert not any("label error" in line for line in evaluated(made(issues=0), console))


def test_a_row_says_what_a_precision_came_to_on_the_test_photos(console) -> None:
    material = made(noise_level=2.5)
    material = with_outcome(
        material, coverage=0.5, automatic=45, wrong=4, precision=41 / 45, precision_95=(0.788, 0.975)
    )
    (row,) = (line for line in evaluated(material, console) if line.startswith("│        0.98"))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[2:] == ["50%", "0.911", "0.788–0.975", "4"]


def test_a_precision_that_labels_nothing_has_no_figures_and_the_one_that_rules_is_named(console) -> None:
    material = with_outcome(made(), coverage=0.0, automatic=0, wrong=0, precision=None, precision_95=(0.0, 1.0))
    said = evaluated(material, console)
    (row,) = (line for line in said if line.startswith("│        0.98"))
    assert [cell.strip() for cell in row.strip("│").split("│")][2:] == ["0%", "–", "–", "–"]
    assert any(line.strip() == "0.95 rules if none is asked for" for line in said)


def test_it_is_said_why_a_precision_labels_nothing(console) -> None:
    material = made()
    targets = tuple(
        one.model_copy(update={"coverage": 0.0, "thresholds": (None,) * 3}) if one.precision >= 0.98 else one
        for one in material.evaluation.thresholds
    )
    said = " ".join(evaluated_with(material, targets, console))
    assert "0.98 takes 152 independent photos without a mistake, there are 90" in said
    assert "0.99 takes 301 independent photos without a mistake, there are 90" in said


def evaluated_with(material, targets, console):
    evaluation = material.evaluation.model_copy(update={"thresholds": targets})
    return evaluated(replace(material, evaluation=evaluation), console)


def test_where_nothing_can_be_promised_it_is_said_why_and_how_the_surest_photos_did(console) -> None:
    text = " ".join(evaluated(made(ruling=None, noise_level=2.5), console))
    assert (
        "No precision can be promised: too many photos are wrong to prove one. 0.90, the lowest, needs the surest 29"
        in text
    )
    assert re.search(
        r"Of the surest \d+ of 90 validation photos, confidence 0\.\d\d and above, \d+ were right: \d+%\.", text
    )
    assert re.search(r"not proved: --threshold 0\.\d\d labels like that without a promise", text)
    assert "Found least often, of the validation photos: dress (" in text


def test_after_interrupted_folds_the_missing_ones_are_named(console) -> None:
    material = made(ruling=None, state=RunState.INTERRUPTED)
    show_evaluation(material.evaluation, material.args, console, missing_folds=3)
    assert "go on with the training: 3 folds are missing" in " ".join(lines(console))


def test_where_no_label_errors_are_listed_it_is_said_why(console) -> None:
    evaluation = made(issues=0).evaluation.model_copy(update={"unlisted": "no class has 5 photos"})
    show_evaluation(evaluation, ARGS, console)
    assert "No list of likely label errors: no class has 5 photos" in lines(console)


def test_why_the_last_epoch_is_kept_is_said(console) -> None:
    material = made()
    last = material.args.model_copy(update={"best_epoch": material.args.epochs_done})
    show_evaluation(material.evaluation, last, console)
    assert "(by then the learning rate has fallen; an earlier ★ is better only by chance)" in lines(console)


def test_where_nothing_can_be_promised_it_is_said_instead_of_a_table(console) -> None:
    said = evaluated(made(ruling=None), console)
    text = "\n".join(said)
    assert "No precision can be promised" in text
    assert "Every photo goes to a person, unless --threshold asks for labels all the same." in text
    assert "--folds 2" in text
    assert "--precision" not in text
    assert "--time-limit" not in text
    assert max(map(len, said)) <= WIDTH


def test_where_the_time_limit_ended_a_training_the_advice_names_it_first(console) -> None:
    material = made(ruling=None)
    cut = material.args.model_copy(update={"time_limit_s": 300.0, "epochs": 300, "epochs_done": 3})
    said = evaluated(replace(material, args=cut), console)
    text = " ".join(said)
    assert (
        "For a promise, allow more time (3 epochs fitted into --time-limit), label more photos, or train with" in text
    )
    assert max(map(len, said)) <= WIDTH


@pytest.mark.parametrize(
    ("state", "code", "command"),
    [
        (RunState.COMPLETE, ExitCode.OK, "Next: hangtag export"),
        (RunState.INTERRUPTED, ExitCode.INTERRUPTED, "Interrupted. Go on with it: hangtag train --resume"),
    ],
)
def test_a_long_path_can_be_copied_in_one_piece(console, tmp_path, state, code, command) -> None:
    material, run = made(state=state), Run(tmp_path / f"{'long ' * 20}[bold]")
    assert _show_result(TrainResult(run, material.args, material.evaluation), console) is code
    assert f"Look at: {run.report}" in lines(console)
    assert f"Run: {run.path}" in lines(console)
    assert f"{command} '{run.path}'" in lines(console)
