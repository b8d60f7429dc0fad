"""Messages about the figures at the end of a training, and the model cards that go with bundles."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.messages.golden import check_messages
from tests.unit.trainer.report.materials import in_tree, made, with_outcome
from trainer.console import TrainingScreen, _show_result, show_evaluation
from trainer.data.dataset import Exclusion, Split
from trainer.judging.evaluate import CrossValidated, Evaluation, Judged
from trainer.judging.figures import OutlierFigures, advice_for_promise, unpromised_sentences
from trainer.report.material import ReportMaterial
from trainer.report.write import model_card
from trainer.request import Preset
from trainer.run import Run, RunArgs, RunState
from trainer.splits.prepare import Prepared
from trainer.train import TrainResult

NOTHING_LABELLED = {"coverage": 0.0, "automatic": 0, "wrong": 0, "precision": None, "precision_95": (0.0, 1.0)}


def results() -> Iterator[tuple[str, Evaluation, RunArgs]]:
    def of(title: str, material: ReportMaterial, **args: object) -> tuple[str, Evaluation, RunArgs]:
        return title, material.evaluation, material.args.model_copy(update=args)

    proved, unproved = made(noise_level=2.5), made(ruling=None, noise_level=2.5)
    yield of("precisions are promised", proved)
    yield of("a precision labels nothing", with_outcome(made(), **NOTHING_LABELLED))
    yield of("a precision is missed", with_outcome(made(ruling=0.95), precision=0.79, precision_95=(0.54, 0.94)))
    yield of("a tree of labels", in_tree(made()))
    yield of("without test photos", made(test=False))
    yield of("the last epoch is kept", made(issues=0), best_epoch=made().args.epochs_done)
    yield of("no promise", unproved)
    yield of("no promise, with a time limit", unproved, time_limit_s=300.0, epochs=300, epochs_done=3)
    yield of("stopped", made(ruling=None, noise_level=2.5, state=RunState.INTERRUPTED), folds=5, cv=True)
    evaluation = proved.evaluation
    out_of_fold = CrossValidated(**dict(evaluation.val.model_copy(update={"n": 900})), folds=5)
    changes = {"cv": out_of_fold, "label_issues": 0, "unlisted": "no class has 5 photos"}
    args = proved.args.model_copy(update={"folds": 5, "cv": True})
    yield "cross-validated, no label errors", evaluation.model_copy(update=changes), args


def unproved() -> Iterator[tuple[str, str]]:
    """Reasons why 0.98 labels no photo: by independent rows of all networks, the network's own rows, its accuracy."""
    material = made()
    target = next(target for target in material.evaluation.thresholds if target.precision == 0.98)
    for rows, own, accuracy in (
        (31, 31, 0.9),
        (600, 31, 0.9),
        (600, 70, 0.9),
        (600, 610, 0.9),
        (600, 100, 1.0),
        (50, 100, 1.0),
    ):
        figures = material.evaluation.val.model_copy(update={"n": own, "accuracy": accuracy})
        nothing = target.model_copy(update={"rows": (rows,) * 3, "coverage": 0.0})
        sentences = unpromised_sentences(nothing, figures, None, "validation", "validation")
        yield f"{rows} rows, {own} of the network's own, {accuracy:.0%} of these right", sentences[0]


def of_a_head(console: Console) -> Iterator[str]:
    """What the screen says of a head on frozen features, of the fine-tuning to come, and at the end."""
    material, run = made(), Run(Path("/runs/my run"))
    head = material.args.model_copy(update={"epochs": 0, "epochs_done": 0, "best_epoch": 0, "folds": 5, "cv": True})
    tuned = material.args.model_copy(update={"epochs": 6, "epochs_done": 0, "folds": 2})
    with TrainingScreen(console) as screen:
        screen.prepared(Prepared([], [], ("dress", "hat"), ()), head)
        screen.goes_on(material.evaluation, run, tuned, 480.0)
        screen.goes_on(material.evaluation, run, tuned.model_copy(update={"epochs_done": 1}), None)
    yield "a head, then fine-tuning, once more after a resume"
    for title, changes in {
        "a head kept after Ctrl-C": {"state": RunState.INTERRUPTED},
        "a quick training": {"preset": Preset.QUICK, "image_size": 224},
    }.items():
        _show_result(TrainResult(run, head.model_copy(update=changes), material.evaluation), console, as_json=False)
        yield title


def test_what_a_result_says() -> None:
    outputs = dict(unproved())
    console = Console(file=io.StringIO(), width=100)
    for title in of_a_head(console):
        outputs[title] = console.file.getvalue().translate(dict.fromkeys(range(0x2500, 0x2580)))
        console.file.seek(0)
        console.file.truncate()
    for title, evaluation, args in results():
        console = Console(file=io.StringIO(), width=100)
        show_evaluation(evaluation, args, console)
        outputs[title] = console.file.getvalue().translate(dict.fromkeys(range(0x2500, 0x2580)))
    check_messages("train-result", outputs, {})


def cards() -> Iterator[tuple[str, ReportMaterial]]:
    material = made()
    aside = [Exclusion(Path("/secret/1.jpg"), "label_conflict", "two labels")] * 2
    yield "a training", made(excluded=aside, notes=("2 files set aside",))
    absent = {"ruling": None, "unknown": False, "issues": 0, "state": RunState.INTERRUPTED}
    yield "as much as possible is absent", made(("dress", "hat"), test=False, epochs=1, **absent)
    few = made(("dress", "hat", "vase"), untested=1)
    counts = {**few.prepared_counts, Split.TRAIN: {"dress": 200, "hat": 4, "vase": 29}}
    yield "classes of which little is known", replace(few, prepared_counts=counts)
    yield "a tree", in_tree(material)
    nothing = {"level_coverage": (material.ruling.coverage, 0.0)}
    targets = tuple(one.model_copy(update=nothing) for one in in_tree(material).confidence.targets)
    idle = in_tree(material)
    yield "a tree without use", replace(idle, confidence=idle.confidence.model_copy(update={"targets": targets}))
    head = material.args.model_copy(update={"epochs": 0, "epochs_done": 0, "best_epoch": 0, "folds": 5})
    yield "a head on frozen features", replace(material, args=head)
    outliers = OutlierFigures(n=40, caught=0.9, caught_95=(0.76, 0.97), auroc=0.95)
    unknown = material.evaluation.unknown.model_copy(update={"outliers": outliers})
    yield (
        "_none was measured",
        replace(material, evaluation=material.evaluation.model_copy(update={"unknown": unknown})),
    )
    for ruling in (None, 0.98):
        one = made(ruling=ruling, test=False)
        cv = CrossValidated(**dict(one.evaluation.val.model_copy(update={"n": 900})), folds=5)
        judged = {**one.judged, Judged.CV: one.judged[Judged.VAL]}
        evaluation = one.evaluation.model_copy(update={"cv": cv})
        yield f"out of fold, {ruling or 'nothing'} promised", replace(one, judged=judged, evaluation=evaluation)
    for precision, interval in ((0.99, (0.95, 1.0)), (0.97, (0.93, 0.985)), (0.9, (0.85, 0.94))):
        came = {"precision": precision, "precision_95": interval, "automatic": 100, "wrong": 7, "coverage": 0.5}
        yield f"{precision} of the test photos are right", with_outcome(material, **came)
    yield "no test photo is labelled", with_outcome(material, **NOTHING_LABELLED)


def test_what_a_model_card_says() -> None:
    parts = {
        **dict.fromkeys(("a training", "as much as possible is absent", "a tree"), ("---", "END")),
        "classes of which little is known": ("## Limits", "## Data"),
        "a head on frozen features": ("# shop-cnn", "## Intended use"),
    }
    outputs = {}
    for title, material in cards():
        said = (material.promise, material.outcome, *material.instead, material.caveat, material.outliers)
        begin, end = parts.get(title, ("", ""))
        outputs[title] = model_card(material).partition(begin)[2].partition(end)[0] if begin else " ".join(said)
    args = made().args.model_copy(update={"epochs": 0, "state": RunState.COMPLETE, "time_limit_s": None})
    for title, changes in {
        "quick": {"preset": Preset.QUICK},
        "time limit": {"time_limit_s": 20.0},
        "stopped": {"state": RunState.INTERRUPTED},
    }.items():
        outputs[f"advice without fine-tuning: {title}"] = advice_for_promise(
            args.model_copy(update=changes), folds_may_prove=False
        )
    check_messages("model-card", outputs, {})
