import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pages.text import between
from tests.html_page import NASTY, Page, check_harmless
from tests.unit.trainer.report.materials import in_tree, made, with_outcome
from trainer.data.dataset import Exclusion
from trainer.judging.evaluate import CrossValidated, Judged, PerSplit
from trainer.report.material import ReportMaterial
from trainer.report.page import overlay, report_page
from trainer.report.write import model_card
from trainer.run import RunState

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


def test_the_page_begins_with_what_matters_most(shop, html) -> None:
    text = Page(html).text
    for words in (
        "shop-cnn cnn, 48×48 px, 3 classes; 6 of 25 epochs, epoch 5 is used.",
        f"{shop.evaluation.test.accuracy:.1%} test accuracy",
        "labelled without review at 98% precision",
        "0.021 calibration error 0.064 before calibration",
        "1,077 photos 897 for training",
        "14.1 minutes of training, 6 epochs",
        "At 98% precision Hangtag labels",
        "Of the test photos, Hangtag labels",
        f"test 90 {shop.evaluation.test.accuracy:.1%} {between(shop.evaluation.test.accuracy_95)}",
        "0.021 validation 90",
    ):
        assert words in text
    names = re.findall(r"<tr><td><bdi>(\w+)</bdi>", part(html, "classes"))
    assert names == sorted(names, key=lambda name: shop.evaluation.test.classes[name].f1), "the worst first"


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
        predicted, label = shop.args.classes[guesses[place]], judged.photos[place].label
        assert Page(tile).text.startswith(f"{sure[place]:.2f} sure: {predicted} true class: {label}")
        assert "no part of the photo stands out" in Page(tile).text, "its heat is flat"
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


def test_the_share_beyond_the_limit_is_said(shop, html) -> None:
    beyond = (shop.judged[Judged.TEST].unknown > np.float32(-3.2)).mean()
    assert 0 < beyond < 1
    section = said(html, "unknown")
    assert "A photo with a score above -3.2 goes to review: about 4.4% of new photos of the classes" in section
    assert f", and {beyond:.1%} of the test photos." in section


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
    assert "the folds' networks are not stored" in said(html, "mistakes")


def test_what_is_absent_reads_well() -> None:
    html = report_page(
        made(("dress", "hat"), test=False, epochs=1, ruling=None, unknown=False, issues=0, state=RunState.INTERRUPTED)
    )
    text = Page(html).text
    for words in (
        "The training was interrupted.",
        "validation accuracy",
        "No precision can be promised. The lowest, 0.90, requires",
        "There are no test photos.",
        "No out-of-distribution score could be learned",
        "Likely label errors No label error was found.",
        "Lowest recall on the validation photos: ",
        "No file was set aside.",
    ):
        assert words in text
    for absent in ("None is", "nan", "default", "By class", "test accuracy"):
        assert absent not in text
    assert "<polyline" not in part(html, "curves")
    assert part(html, "curves").count("<circle") == 7


def test_a_head_on_frozen_features_has_no_curves_and_no_epochs() -> None:
    material = made()
    head = material.args.model_copy(update={"epochs": 0, "epochs_done": 0, "best_epoch": 0, "folds": 5})
    html = report_page(replace(material, args=head, history=[replace(material.history[0], epoch=0)]))
    text = Page(html).text
    assert "3 classes; a head on pretrained features." in text
    assert "of training, with 5 folds" in text
    assert 'id="curves"' not in html
    assert "poch" not in text.replace("epochs 0", "")
    assert "epoch" not in model_card(replace(material, args=head)).replace("| `epochs` | 0 |", "")


def test_a_class_without_test_photos_says_so() -> None:
    html = report_page(made(("dress", "hat", "vase"), untested=1))
    assert "vase 0 no photos" in said(html, "classes")
    assert 'href="classes.csv"' in html


def test_figures_that_are_not_finite_are_left_out_of_the_drawings(shop) -> None:
    rows = [replace(row, train_loss=float("nan"), val_loss=float("inf")) for row in shop.history]
    html = report_page(replace(shop, history=rows))
    assert "nan" not in part(html, "curves")
    assert "inf" not in part(html, "curves")


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


def test_a_promise_that_test_photos_contradict_is_shown_as_doubtful(shop) -> None:
    pages = [report_page(with_outcome(shop, precision=0.79, precision_95=(0.54, high))) for high in (0.99, 0.94)]
    assert ["said promise labeled" in page for page in pages] == [True, False]
    assert ["significantly below the target" in page for page in pages] == [False, True]


@pytest.mark.parametrize(("each", "out_of_fold", "advised"), [(30, 0, True), (30, 400, False), (3, 0, False)])
def test_a_report_without_a_promise_advises_how_to_get_one(each, out_of_fold, advised) -> None:
    """Nine validation photos are too few to confirm the folds' proof."""
    material = made(each=each, ruling=None)
    confidence = material.confidence.model_copy(update={"out_of_fold": out_of_fold})
    args = material.args.model_copy(update={"folds": 2 if out_of_fold else 0})
    html = report_page(replace(material, confidence=confidence, args=args))
    assert "label more photos" in said(html, "thresholds")
    assert (", or train with --folds 2, to prove a precision on more photos." in said(html, "thresholds")) is advised
    assert "none precision promised every photo goes to review" in Page(html).text


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
    assert "by distance from the true class to the lowest common ancestor: " in levels
    assert "About 50% of your photos get a class, and the other labelled photos get a broader label." in section
    assert "By level of the tree" not in report_page(made())
    nothing = {"level_coverage": (material.ruling.coverage, 0.0)}
    targets = tuple(one.model_copy(update=nothing) for one in material.confidence.targets)
    idle = replace(material, confidence=material.confidence.model_copy(update={"targets": targets}))
    assert "broader labels were not precise enough" in idle.promise
