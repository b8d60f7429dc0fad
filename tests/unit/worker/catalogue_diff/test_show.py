import json
from pathlib import Path

import pytest

from models.errors import InputError
from pages.render import render
from tests.html_page import NASTY, Page, check_harmless
from worker.catalogue_diff.figures import CatalogueChange, CatalogueFigures, ChangedRow
from worker.catalogue_diff.sample import SampleOptions
from worker.catalogue_diff.show import diff_and_show


def test_of_many_flows_the_largest_are_shown_and_the_others_counted() -> None:
    flows = tuple(CatalogueChange(before="a", after=f"b{number}", rows=3) for number in range(40))
    figures = CatalogueFigures(
        source="s", rows_in_source=500, rows=500, failed=0, changed=120, to_review=0, from_review=0, flows=flows
    )
    text = Page(render("catalogue_diff.html", before="a", after="b", figures=figures, interval=(0.2, 0.28))).text
    assert "24.0% of your rows would change (120 of 500; 95% 20.0 to 28.0%)" in text
    assert "Of 500 rows of s , all were given to both models." in text
    assert "b14 " in text
    assert "b15 " not in text
    assert "and 75 rows in 25 other ways" in text


def test_nothing_in_a_catalogue_becomes_markup() -> None:
    row = ChangedRow(
        row=1, image=NASTY, before=NASTY, before_confidence=0.5, after="a", after_confidence=0.6, thumbnail=None
    )
    flow = CatalogueChange(before=NASTY, after="a", rows=1)
    figures = CatalogueFigures(
        source=NASTY,
        rows_in_source=9,
        rows=9,
        failed=0,
        changed=1,
        to_review=0,
        from_review=0,
        flows=(flow,),
        examples=(row, row.model_copy(update={"thumbnail": f'data:image/jpeg;base64,"{NASTY}'})),
    )
    page = render("catalogue_diff.html", before=NASTY, after=NASTY, figures=figures, interval=(0.0, 0.4))
    assert check_harmless(page).text.count("</td></section>") >= 8


def test_two_models_are_told_apart_on_a_terminal_as_json_and_as_a_page(
    catalogue: Path, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = sorted(catalogue.rglob("*.*"))[::40][:3]
    (tmp_path / "rows.txt").write_text("".join(f"{photo}\n" for photo in photos))
    asked = (bundle, bundle, ("shop@1", "shop@[2]"), str(tmp_path / "rows.txt"), 100, SampleOptions(workers=1))
    diff_and_show(*asked, tmp_path / "diff.html")
    assert "shop@1 → shop@[2]: 0.0% of 3 rows would change (95% 0.0 to 70.8%)." in capsys.readouterr().out
    assert "0% of your rows would change (0 of 3" in Page((tmp_path / "diff.html").read_text()).text
    diff_and_show(*asked, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert (facts["before"], facts["after"], facts["rows"], facts["changed"]) == ("shop@1", "shop@[2]", 3, 0)


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_labelled(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(InputError, match="make it first"):
        diff_and_show(bundle, bundle, ("a", "b"), "rows.txt", 9, SampleOptions(), tmp_path / "none" / "diff.html")
