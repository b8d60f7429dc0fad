import re
from dataclasses import replace

import pytest

from models.decision import UNMEASURED
from tests.unit.trainer.report.materials import made, with_outcome
from trainer.judging.evaluate import CrossValidated, Judged
from trainer.judging.figures import OutlierFigures, weakest
from trainer.report.page import report_page
from trainer.report.write import model_card


def test_a_promise_is_a_sentence_that_a_shop_understands() -> None:
    material = made()
    target = material.ruling.model_copy(update={"coverage": 0.61})
    confidence = material.confidence.model_copy(update={"targets": (target,)})
    assert replace(material, confidence=confidence).promise == (
        "At 98% precision Hangtag labels about 61% of your photos without review and sends the others to a person."
    )


def test_where_nothing_can_be_promised_nothing_is() -> None:
    material = made(ruling=None)
    assert material.promise.startswith("No precision can be promised: 0.90, the")
    assert material.promise.count(" of 90 are wrong.") == 1
    assert material.promise.endswith("Every photo goes to review; --threshold gives labels without a promise.")
    assert material.outcome == ""
    surest, weak = material.instead
    assert " of the surest " in surest
    assert weak.startswith("Lowest recall on the validation photos: ")
    assert made().instead == []


def test_figures_out_of_fold_are_no_promise_where_there_is_none() -> None:
    for ruling, words in ((None, "These figures are based on"), (0.98, "The promise is based on")):
        material = made(ruling=ruling, test=False)
        cv = CrossValidated(**dict(material.evaluation.val.model_copy(update={"n": 900})), folds=5)
        judged = {**material.judged, Judged.CV: material.judged[Judged.VAL]}
        material = replace(material, judged=judged, evaluation=material.evaluation.model_copy(update={"cv": cv}))
        assert material.caveat.endswith(f"{words} these photos.")


@pytest.mark.parametrize(
    ("precision", "interval", "ending"),
    [
        (0.99, (0.95, 1.0), "with 95% confidence)."),
        (0.97, (0.93, 0.985), "below the target, but within chance."),
        (0.9, (0.85, 0.94), "below the target."),
    ],
)
def test_an_outcome_says_whether_the_promise_was_kept(precision, interval, ending) -> None:
    material = with_outcome(made(), precision=precision, precision_95=interval, automatic=100, wrong=7, coverage=0.5)
    assert material.outcome.startswith(
        "On the test photos it labels 50% without review, and 93 of these 100 are right:"
    )
    assert material.outcome.endswith(ending)


def test_an_outcome_of_no_photos_is_said() -> None:
    material = with_outcome(made(), precision=None, precision_95=None, automatic=0, wrong=0, coverage=0.0)
    assert material.outcome == "On the test photos it would label none without review."


def test_the_weakest_classes_are_those_found_least_often() -> None:
    figures = made(("a", "b", "c", "d"), untested=1).evaluation.test
    classes = {
        name: figures.classes[name].model_copy(update={"recall": recall})
        for name, recall in (("a", 0.9), ("b", 0.2), ("c", 1.0), ("d", 0.0))
    }
    assert weakest(figures.model_copy(update={"classes": classes})) == ["b", "a"]


def test_findings_on_photos_without_a_product_are_a_sentence() -> None:
    material = made()
    assert material.outliers == UNMEASURED
    found = OutlierFigures(n=40, caught=0.9, caught_95=(0.76, 0.97), auroc=0.95)
    unknown = material.evaluation.unknown.model_copy(update={"outliers": found})
    measured = replace(material, evaluation=material.evaluation.model_copy(update={"unknown": unknown}))
    said = "Of 40 photos under _none outside the training, 90.0% go to review (76.0 to 97.0% with 95% confidence)."
    assert measured.outliers == said
    assert said.replace("_", r"\_") in " ".join(model_card(measured).split())
    assert said in " ".join(re.sub("<[^>]+>", "", report_page(measured)).split())
    for page in (report_page(material), model_card(material).replace("\\", "")):
        assert " ".join(page.split()).count(UNMEASURED) == 1
