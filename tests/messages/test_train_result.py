"""Messages about the figures at the end of a training."""

import io
from collections.abc import Iterator

from rich.console import Console

from tests.messages.golden import check_messages
from tests.unit.trainer.report.materials import in_tree, made, with_outcome
from trainer.console import show_evaluation
from trainer.judging.evaluate import CrossValidated, Evaluation
from trainer.judging.figures import unpromised_sentences
from trainer.report.material import ReportMaterial
from trainer.run import RunArgs, RunState

NOTHING_LABELLED = {"coverage": 0.0, "automatic": 0, "wrong": 0, "precision": None, "precision_95": (0.0, 1.0)}


def results() -> Iterator[tuple[str, Evaluation, RunArgs]]:
    def of(title: str, material: ReportMaterial, **args: object) -> tuple[str, Evaluation, RunArgs]:
        return title, material.evaluation, material.args.model_copy(update=args)

    proved, unproved = made(noise_level=2.5), made(ruling=None, noise_level=2.5)
    yield of("precisions are promised", proved)
    yield of("a precision labels nothing", with_outcome(made(), **NOTHING_LABELLED))
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


def test_what_a_result_says() -> None:
    outputs = dict(unproved())
    for title, evaluation, args in results():
        console = Console(file=io.StringIO(), width=100)
        show_evaluation(evaluation, args, console)
        outputs[title] = console.file.getvalue().translate(dict.fromkeys(range(0x2500, 0x2580)))
    check_messages("train-result", outputs, {})
