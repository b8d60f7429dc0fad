import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from models.errors import InputError
from tests.html_page import NASTY, Page, check_harmless
from tests.unit.trainer.retrain.reported_cycles import PIXEL, SIZE, ReportedCycle, first, outcome, promoted, refused
from trainer.retrain.cycle_folder import CycleStart, CycleStatus, GateVerdict
from trainer.retrain.report import write_report


def first_lines(material: ReportedCycle) -> tuple[str, str]:
    heading, lead = re.findall(r"(<h1.*?</h1>)\s*(<p>.*?</p>)", material.page())[0]
    return Page(heading).text, Page(lead).text


def said(material: ReportedCycle, anchor: str) -> str:
    return Page(re.findall(rf'<section[^>]* id="{anchor}">.*?</section>', material.page(), re.DOTALL)[0]).text


def test_the_first_lines_say_it_all(tmp_path: Path) -> None:
    shop = promoted(tmp_path)
    better = "It is 2.4 points better on 372 test photos (95% 0.1 to 4.7)."
    surer = "Its probabilities are better beyond chance (Brier score 0.191 → 0.172)."
    assert first_lines(shop) == ("shop@4 was promoted", f"{better} {surer}")
    overruled = replace(shop, outcome=outcome(reasons=("It is no better.",)))
    assert first_lines(overruled) == ("shop@4 was promoted", better)
    assert first_lines(refused(tmp_path)) == (
        "shop@4 was refused",
        "shoes loses 12.4 points of recall: more than 5.0 as asked.",
    )
    assert first_lines(first(tmp_path)) == (
        "shop@1 was promoted",
        "It is the first model, 90.0% right on 100 test photos (95% 82.4 to 95.1%).",
    )
    failed = ReportedCycle(tmp_path, outcome(CycleStatus.FAILED, challenger=None, reasons=("It was given up.",)))
    assert first_lines(failed) == ("Cycle 4 was stopped", "It was given up.")


def test_a_check_that_the_photos_cannot_decide_does_not_count_as_passed(tmp_path: Path) -> None:
    shop = promoted(tmp_path)
    checks = [
        *shop.verdict.checks,
        *(shop.verdict.checks[0].model_copy(update={key: True}) for key in ("unsure", "doubtful")),
    ]
    some = replace(shop, verdict=GateVerdict(checks=tuple(checks)))
    assert "Gate · 2 passed, 2 to look at" in said(some, "gate")
    assert "Gate · 1 passed, 1 failed" in said(refused(tmp_path), "gate")


def test_the_page_says_how_to_reverse_the_decision(tmp_path: Path) -> None:
    start = CycleStart(number=4, name="shop", started="", config={"registry": "/my models"})
    for material, command in (
        (promoted(tmp_path), "To go back: hangtag models rollback shop --registry '/my models'"),
        (refused(tmp_path), "hangtag models promote shop@4 --force --why REASON --registry '/my models'"),
    ):
        assert command in Page(replace(material, start=start).page()).text
    assert "To go back" not in Page(replace(first(tmp_path), start=start).page()).text


def test_a_long_reason_is_shown_whole(tmp_path: Path) -> None:
    long = " ".join(["A class loses more recall than the limit allows."] * 20)
    shop = refused(tmp_path)
    one, other = (
        check.model_copy(update={"sentence": f"{long} {check.name}", "passed": False}) for check in shop.verdict.checks
    )
    verdict = GateVerdict(checks=(one, other))
    page = Page(
        replace(shop, outcome=outcome(CycleStatus.REFUSED, reasons=verdict.reasons), verdict=verdict).page()
    ).text
    assert "characters" not in page
    assert [page.count(check.sentence) for check in verdict.checks] == [2, 2]


def test_every_figure_is_there(tmp_path: Path) -> None:
    shop = promoted(tmp_path)
    for anchor, words in {
        "gate": ("all 2 passed", "✓ accuracy The accuracy is as asked."),
        "classes": ("shoes 96 shoes: 90.0% to 80.0% 90.0% → 80.0% −10.4 1 11", "scarf new 18", "empty 0 no test photo"),
        "photos": (
            "5 lost, 14 won",
            "Lost · 1 photo shop@3 is right on these photos, shop@4 is wrong.",
            "no picture shoes",
        ),
        "catalogue": (
            "3.1% of your rows would change (62 of 1,990; 95% 2.4 to 3.9%).",
            "Both models labelled 2,000 random rows of the 50,000 in /data/rows.csv . 10 rows could not",
            "5 rows would newly go to review, and 9 rows would no longer need review",
            "boots → shoes 41 2.1%",
            "0.50 → 0.90 sure row 17",
        ),
        "learned": ("2 photos", "2 photos are new, 3 gone, 7 with another label", "shoes 1 1"),
        "corrections": (
            "1 conflict, 1 not found, 2 applied, 1 added, 1 agrees",
            "1 correction is of a test photo: 1 true label changed for both models",
            "gone.jpg test hats → shoes",
            "2.jpg new → shoes",
            "999999999999… hats → shoes",
            "reviewers disagree; left out",
        ),
        "newer": (
            "43 test photos are newer than shop@3 , which is right on 79.1% of them (95% 64.0 to 90.0%)",
            "shop@4 is right on 81.4% (95% 66.6 to 91.6%). The difference is +2.3 points (95% −6.0 to 10.6).",
            "shop@3 was chosen by its accuracy on the older test photos.",
        ),
        "costs": (
            "Brier score 0.191 0.172 of the probabilities",
            "0.034 0.029 difference −0.005, 95% −0.021 to +0.012",
            "precision promised 0.95 0.98",
            "labelled without a person 75.3% 75.0% difference −0.3 points, 95% −3.1 to +2.6",
            "wrong labels among these 5 of 280 4 of 279",
            "4.0 MB 4.2 MB 1.05 times as large",
            "500 photos/s 400 photos/s 0.80 times as fast",
            "this test detects a true difference of 3.2 points",
        ),
        "time": ("train 1.5 hours", "catalogue 30.0 seconds"),
    }.items():
        text = said(shop, anchor)
        for word in words:
            assert word in text, (anchor, word, text)
    text = Page(shop.page()).text
    assert "Cycle 4 of shop against shop@3 , 2026-02-03 03:00 UTC to 2026-02-03 05:12 UTC" in text
    assert "it began because a job had drifted" in text
    assert "2 photos 2 new, 3 corrections" in text


def test_sizes_of_other_variants_than_the_default_are_named(tmp_path: Path) -> None:
    shop = promoted(tmp_path)
    smaller = SIZE.model_copy(update={"default_bytes": 1_000_000})
    mixed = replace(shop, comparison=shop.comparison.model_copy(update={"challenger_footprint": smaller}))
    assert "in float32, 1.05 times as large" in said(mixed, "costs")


def test_nothing_of_peoples_words_becomes_markup(tmp_path: Path) -> None:
    html = promoted(tmp_path, NASTY, NASTY.replace("/", "")).page()
    page = check_harmless(html)
    assert {attributes["src"] for tag, attributes in page.elements if tag == "img"} == {PIXEL}
    assert page.text.count("<script>al") >= 10


def test_photos_that_are_there_are_shown_and_the_others_named(tmp_path: Path) -> None:
    assert "Deleted since then: /shop/gone.jpg" in said(promoted(tmp_path), "photos")
    Image.new("RGB", (30, 20), "navy").save(tmp_path / "here.png")
    shop = promoted(tmp_path)
    changes = [change.model_copy(update={"image": str(tmp_path / "here.png")}) for change in shop.comparison.changes]
    here = replace(shop, comparison=shop.comparison.model_copy(update={"changes": tuple(changes)}))
    assert "any more" not in said(here, "photos")
    assert here.page().count("data:image/jpeg") - shop.page().count("data:image/jpeg") == 2


def test_a_cycle_of_which_little_is_known_has_a_page(tmp_path: Path) -> None:
    for status in CycleStatus:
        bare = ReportedCycle(tmp_path, outcome(status, challenger=None, seconds={}))
        Page(bare.page())
        assert "<section" not in bare.page()


def test_the_page_links_to_the_files_of_the_folder(tmp_path: Path) -> None:
    shop = promoted(tmp_path)
    shop.page()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.html").touch()
    page = write_report(tmp_path, shop.outcome)
    assert page == tmp_path / "report.html"
    links = [attributes["href"] for tag, attributes in Page(page.read_text()).elements if tag == "a"]
    assert [link for link in links if not link.startswith("#")] == [
        "run/report.html",
        "comparison.json",
        "verdict.json",
        "catalogue.json",
        "collected.json",
        "cycle.json",
    ]
    (tmp_path / "run" / "report.html").unlink()
    (tmp_path / "splits.csv").unlink()
    assert "run/report.html" not in write_report(tmp_path, shop.outcome).read_text()
    (tmp_path / "verdict.json").write_text("{")
    with pytest.raises(InputError, match=r"verdict\.json"):
        write_report(tmp_path, shop.outcome)
