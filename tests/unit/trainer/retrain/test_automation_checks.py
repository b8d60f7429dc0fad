import pytest

from tests.unit.trainer.retrain.made_up import (
    FIRST,
    FIRST_AUTOMATION,
    automatic,
    automation,
    comparison,
    judged,
    named,
    sentence,
)


@pytest.mark.parametrize(
    ("points", "spread", "limit", "passed", "said"),
    [
        (-4.9, 2.0, 5.0, True, "at most 5.0 points are lost as asked."),
        (9.0, 2.0, 0.0, True, "nothing is lost."),
        (-6.0, 6.1, 5.0, True, "more than 5.0 points are lost, which may be noise."),
        (-6.0, 5.9, 5.0, False, "of the champion's 5: it is less sure."),
        (-6.0, 5.9, 6.0, True, "at most 6.0 points are lost as asked."),
    ],
)
def test_people_get_not_many_more_photos_to_review(points, spread, limit, passed, said):
    verdict = judged(comparison(automation=automation(points, spread)), max_coverage_loss_points=limit)
    assert verdict.passed == passed
    assert sentence(verdict, "coverage").endswith(said)
    assert not named(verdict, "coverage").doubtful
    assert named(verdict, "coverage").unsure == ("noise" in said)


def test_a_loss_that_is_the_thresholds_own_is_told_and_not_refused():
    """As many photos as the champion labels would be right as often."""
    found = named(judged(comparison(automation=automation(-20.0, surest=automatic(280, 5)))), "coverage")
    assert (found.passed, found.doubtful) == (True, True)
    assert found.sentence.endswith(
        "more than 10.0 points are lost. Of its 280 surest photos, as many as the champion labels, 5 are wrong, of the "
        "champion's 5: it is as good, and its thresholds are too high."
    )
    assert not named(judged(comparison(automation=automation(-20.0))), "coverage").passed


@pytest.mark.parametrize("promises", [{"champion_precision": None}, {"challenger_precision": 0.95}])
def test_who_promises_something_else_is_told_and_not_refused_for_coverage(promises):
    found = named(judged(comparison(automation=automation(-20.0, **promises))), "coverage")
    assert (found.passed, found.doubtful) == (True, True)
    assert "the champion with" in found.sentence
    assert not named(judged(comparison(automation=automation(-3.0, **promises))), "coverage").doubtful


def test_a_promise_of_its_own_that_leaves_more_to_people_is_told():
    found = automation(own_precision=0.99, own=automatic(200, 1))
    told = named(judged(comparison(automation=found)), "coverage")
    assert (told.passed, told.doubtful) == (True, True)
    assert told.sentence.endswith("Jobs without --precision get precision 0.99, which labels 53.8%.")
    little = automation(own_precision=0.99, own=automatic(270, 1))
    assert not named(judged(comparison(automation=little)), "coverage").doubtful


@pytest.mark.parametrize(
    ("wrong", "high", "passed", "doubtful"),
    [
        (4, 0.99, True, False),
        (7, 0.985, True, False),  # less than before, and it may still keep what it promised
        (14, 0.975, False, False),
        (4, 0.975, True, True),  # the promise is broken, and no more often than before
    ],
)
def test_labels_that_nobody_looks_at_are_right_as_promised_or_as_before(wrong, high, passed, doubtful):
    verdict = judged(comparison(automation=automation(everywhere=automatic(274, wrong, high))))
    found = named(verdict, "precision")
    assert (found.passed, found.doubtful, verdict.passed) == (passed, doubtful, passed)
    assert found.unsure == (wrong > 274 * 0.02)
    assert ("which may be noise" in found.sentence) == (wrong > 274 * 0.02 and high > 0.98)


def test_a_champion_that_left_everything_to_people_was_never_wrong():
    found = automation(5.0, champion=automatic(0, 0), everywhere=automatic(274, 14, 0.971))
    assert not named(judged(comparison(automation=found)), "precision").passed


def test_a_first_model_that_breaks_its_promise_is_told_of():
    alone = automation().model_copy(update={**FIRST_AUTOMATION, "everywhere": automatic(200, 20, 0.94)})
    verdict = judged(comparison(**FIRST | {"automation": alone}))
    assert [found.name for found in verdict.checks if found.doubtful] == ["precision"]
    assert "before" not in sentence(verdict, "precision")
    assert sentence(verdict, "coverage") == "Labels 73.7% of 372 photos without a person, with precision 0.98."
    assert verdict.passed


def test_a_first_model_that_promises_nothing_passes_and_is_told_of():
    nothing = {"challenger_precision": None, "own_precision": None, "challenger": automatic(0, 0)}
    alone = automation().model_copy(update={**FIRST_AUTOMATION, **nothing, "everywhere": automatic(0, 0)})
    verdict = judged(comparison(**FIRST | {"automation": alone}))
    assert verdict.passed
    assert named(verdict, "coverage").doubtful
    assert sentence(verdict, "coverage").endswith("without a person, with no promise: every photo goes to review.")


def test_a_challenger_that_promises_nothing_is_refused_where_the_champion_labels_by_itself():
    unsure = {"challenger_precision": None, "own_precision": None, "challenger": automatic(0, 0)}
    found = named(judged(comparison(automation=automation(-75.0, **unsure))), "coverage")
    assert not found.passed
    promised = named(judged(comparison(automation=automation(own_precision=None, own=automatic(0, 0)))), "coverage")
    assert promised.sentence.endswith("Jobs without --precision get no promise: every photo goes to review.")


@pytest.mark.parametrize("precision", [None, 0.9])
def test_a_champion_that_promises_nothing_can_be_replaced(precision):
    """It labels nothing by itself, so nothing can be lost."""
    found = automation(
        20.0 if precision else 0.0,
        champion=automatic(0, 0),
        champion_precision=None,
        challenger_precision=precision,
        own_precision=precision,
    )
    verdict = judged(comparison(automation=found))
    assert named(verdict, "coverage").passed


@pytest.mark.parametrize("change", [{"challenger_precision": None}, {"everywhere": automatic(0, 0)}])
def test_where_nothing_is_promised_or_labelled_no_promise_is_judged(change):
    verdict = judged(comparison(automation=automation(**change)))
    assert "precision" not in [found.name for found in verdict.checks]
