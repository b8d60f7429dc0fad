import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.html_page import NASTY, Page, check_harmless
from tests.unit.trainer.report.materials import in_tree, made
from trainer.data.dataset import Exclusion
from trainer.judging.evaluate import CrossValidated, Judged, PerSplit
from trainer.report.material import ReportMaterial
from trainer.report.page import overlay, report_page

EXCLUDED = [Exclusion(Path("/shop", f"{n}.jpg"), "label_conflict" if n else "truncated", "it ends") for n in range(5)]
ANCHORS = [
    *("thresholds", "mistakes", "labels", "classes", "confusion", "calibration", "unknown"),
    *("curves", "data", "batch", "making"),
]


@pytest.fixture(scope="module")
def shop() -> ReportMaterial:
    """A material with clearly different calibration errors."""
    material = made(excluded=EXCLUDED, notes=("12 photos repeat another",), noise_level=2.5)
    errors = {
        "ece_before": PerSplit(val=0.083, test=0.064),
        "test": material.evaluation.test.model_copy(update={"ece": 0.021}),
    }
    return replace(material, evaluation=material.evaluation.model_copy(update=errors))


@pytest.fixture(scope="module")
def html(shop) -> str:
    return report_page(shop)


def part(html: str, anchor: str) -> str:
    return re.findall(rf'<section[^>]* id="{anchor}">.*?</section>', html, re.DOTALL)[0]


def said(html: str, anchor: str) -> str:
    return Page(part(html, anchor)).text


def pictures(html: str) -> int:
    return html.count('src="data:image/jpeg;base64,')


def test_every_section_is_there_and_linked_to(html) -> None:
    for anchor in ANCHORS:
        assert part(html, anchor)
    links = re.findall(r'<a href="#([^"]+)">', html)
    assert links == ANCHORS


def test_mistakes_are_shown_surest_first_with_the_predictions_heat_map(shop) -> None:
    judged, asked = shop.judged[Judged.TEST], []

    def heat(pixels, classes):
        asked.extend(classes)
        return np.zeros(pixels.shape[:3], np.float32)

    html = report_page(replace(shop, heat=heat))
    guesses, sure = judged.probabilities.argmax(axis=1), judged.probabilities.max(axis=1)
    wrong = sorted(np.flatnonzero(guesses != judged.labels), key=lambda place: -sure[place])[:24]
    assert asked == [guesses[place] for place in wrong]
    tiles = re.findall(r"<figure.*?</figure>", part(html, "mistakes"), re.DOTALL)
    for tile, place in zip(tiles, wrong, strict=True):
        expected = f"said {shop.args.classes[guesses[place]]} , {sure[place]:.2f} sure is {judged.photos[place].label}"
        assert Page(tile).text.startswith(expected)
        assert "no one place spoke for it" in Page(tile).text, "its heat is flat"
        assert pictures(tile) == 2


def test_the_matrix_counts_the_photos(shop, html) -> None:
    judged = shop.judged[Judged.TEST]
    guesses = judged.probabilities.argmax(axis=1)
    cells = re.findall(r'<td class="(right|wrong)[^"]*"[^>]*>([\d,]*)</td>', part(html, "confusion"))
    counts = [int(text or 0) for _, text in cells[:9]]
    expected = [int(((judged.labels == is_) & (guesses == taken)).sum()) for is_ in range(3) for taken in range(3)]
    assert counts == expected
    assert [place for place, (kind, _) in enumerate(cells[:9]) if kind == "right"] == [0, 4, 8]
    depths = re.findall(r"--depth: (\d+)%", part(html, "confusion"))
    assert [int(depth) for depth in depths[:9]] == [round(100 * (count / max(counts)) ** 0.5) for count in counts]


@pytest.fixture
def cross_validated(shop):
    out_of_fold = replace(shop.judged[Judged.VAL], unknown=None, photos=shop.judged[Judged.VAL].photos * 2)
    cv = CrossValidated(**dict(shop.evaluation.val.model_copy(update={"n": 180})), folds=5)
    evaluation = shop.evaluation.model_copy(update={"cv": cv})
    material = replace(shop, judged={**shop.judged, Judged.CV: out_of_fold}, evaluation=evaluation)
    assert material.split is Judged.CV
    return material


def test_out_of_fold_mistakes_have_no_heat_map_of_another_network(cross_validated) -> None:
    """The kept network has learned from these photos, and its heat map does not explain a fold's mistake."""
    html = report_page(cross_validated)
    tiles = re.findall(r"<figure.*?</figure>", part(html, "mistakes"), re.DOTALL)
    assert tiles
    assert {pictures(tile) for tile in tiles} == {1}
    assert "the network of its fold is not kept" in said(html, "mistakes")


def test_names_of_people_are_text() -> None:
    excluded = [Exclusion(Path(NASTY), NASTY, NASTY), Exclusion(Path("x\udce9.jpg"), "missing", "gone")]
    html = report_page(made(("dress", NASTY, "</section>", "caf\udce9"), name=NASTY, notes=(NASTY,), excluded=excluded))
    assert check_harmless(html).text.count("<script>al") >= 15
    check_harmless(report_page(in_tree(made(), NASTY)))
    assert html.encode()


def test_many_classes_are_a_picture_and_the_worst() -> None:
    classes = 1200
    names = [f"{'x' * 300} {n}" for n in range(classes)]
    html = report_page(made(names, each=1, issues=60, noise_level=2.5))
    assert len(html) < 4_000_000
    assert part(html, "confusion").count('src="data:image/png') == 1
    assert "<table" in part(html, "confusion")
    assert f"and {classes - 30:,} more classes" in said(html, "classes")
    assert f"and {classes - 30:,} more classes" in said(html, "data")
    assert pictures(part(html, "mistakes")) == 48
    assert pictures(part(html, "labels")) == 24


def test_heat_colours_what_is_hot_and_leaves_the_rest_grey() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    heat = np.zeros((16, 16), np.float32)
    heat[:4, :4] = 1.0
    seen = overlay(photo, heat).astype(int)
    assert overlay(photo, heat).dtype == np.uint8
    assert np.ptp(seen[4:, 4:], axis=2).max() == 0
    assert np.ptp(seen[:4, :4], axis=2).min() > 60
    grey = np.asarray(Image.fromarray(photo).convert("L"), int)
    np.testing.assert_allclose(seen[4:, 4:, 0], grey[4:, 4:], atol=1)


def test_a_trees_levels_and_the_distance_of_errors_are_shown() -> None:
    material = in_tree(made())
    section = part(report_page(material), "thresholds")
    levels = section[section.index("By level of the tree") : section.index("By class")]
    achieved = material.evaluation.coverage_at_precision["0.98"].test.levels
    assert all(one.automatic for one in achieved)
    assert f"{achieved[1].automatic} photos, " in levels
    assert levels.count("level 1") == levels.count("leaf") == 5
    assert "by the steps from the true class up to the first label that both share: " in levels
    assert "With a class it labels about 50%, the rest of these with a label above." in section
    assert "By level of the tree" not in report_page(made())
    nothing = {"level_coverage": (material.ruling.coverage, 0.0)}
    targets = tuple(one.model_copy(update=nothing) for one in material.confidence.targets)
    idle = replace(material, confidence=material.confidence.model_copy(update={"targets": targets}))
    assert "no label above the classes was proved" in idle.promise
