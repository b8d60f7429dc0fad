"""``examples/``, run as people run them: Python, Node, and a page in a real Chromium."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from benchmarks.example_runs.chromium import chromium_binary
from benchmarks.example_runs.page import Page, build, open_page
from benchmarks.example_runs.programs import Said, hangtag_says, install, node_says, python_says, run_program
from models.classifier import load, load_edge
from models.decision import Prediction, Scores, rules_of
from models.errors import ImageError
from models.preprocess import Pixels, whole_pixels
from tests.conftest import Golden
from tests.missing import skip_outside_ci

EdgeSays = Callable[[list[Path]], list[Prediction]]
NODE = (20, 9)
NEAR = 0.01
ODD = 0.03
"""Where a photo is see-through, sharp cuts off what Hangtag rounds: its pixels may be one darker."""
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="session")
def ordinary(drawn: Path, edge_bundle: Path) -> list[Path]:
    """Twelve readable photos of several classes, clear of any limit, because decoders differ a little."""
    readable = [
        file for file in sorted(drawn.rglob("*")) if file.suffix in {".jpg", ".png", ".webp"} and _is_readable(file)
    ]
    edge = load_edge((edge_bundle / "edge.onnx").read_bytes(), str(edge_bundle))
    known, clear = edge.metadata, []
    for photo in readable[:: len(readable) // 24]:
        answer = edge.run(whole_pixels(photo.read_bytes()))
        limits = [known.unknown.limit - answer.unknown]
        limits += [t - max(answer.probabilities) for t in known.thresholds if t is not None]
        clear += [photo] if min(map(abs, limits)) > NEAR else []
    return clear[:12]


def _is_readable(file: Path) -> bool:
    try:
        whole_pixels(file.read_bytes())
    except ImageError:
        return False
    return True


@pytest.fixture(scope="session")
def edge_says(edge_bundle: Path) -> EdgeSays:
    """The edge graph's labels of photos that Hangtag decoded, and whether a person should look."""
    edge = load_edge((edge_bundle / "edge.onnx").read_bytes(), str(edge_bundle))
    rules = rules_of(edge.metadata)

    def says(photos: list[Path]) -> list[Prediction]:
        answers = [edge.run(whole_pixels(photo.read_bytes())) for photo in photos]
        rows = np.stack([answer.probabilities for answer in answers])
        return rules.decide(Scores(rows, np.array([answer.unknown for answer in answers], np.float32)), top_k=1).rows()

    return says


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory, ordinary: list[Path]) -> list[Path]:
    """A photo rotated, transparent, grey, long, large, progressive, and with a colour profile other than sRGB."""
    folder, turned = tmp_path_factory.mktemp("odd"), Image.Exif()
    rgb = Image.fromarray(whole_pixels(ordinary[0].read_bytes()))
    turned[0x0112] = 6
    see_through = rgb.copy()
    see_through.putalpha(Image.linear_gradient("L").resize(rgb.size))
    width, height = rgb.size
    rgb.save(folder / "turned.jpg", exif=turned, quality=90)
    see_through.save(folder / "see-through.png")
    rgb.convert("L").save(folder / "grey.jpg", quality=90)
    rgb.resize((width * 4, height // 4)).save(folder / "long.png")
    rgb.resize((width * 6, height * 6)).save(folder / "large.jpg", quality=90)
    rgb.save(folder / "progressive.jpg", progressive=True, quality=80)
    rgb.save(folder / "profile.jpg", icc_profile=_red_is_green(), quality=90)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def claimed(tmp_path_factory: pytest.TempPathFactory, ordinary: list[Path]) -> list[Path]:
    """A photo in each format that examples/README.md claims for Python: 16 bits, CMYK, a palette."""
    folder = tmp_path_factory.mktemp("claimed")
    rgb = Image.fromarray(whole_pixels(ordinary[0].read_bytes()))
    grey = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "avif"):
        rgb.save(folder / f"plain.{suffix}")
    for suffix in ("png", "tif"):
        grey.save(folder / f"sixteen-bits.{suffix}")
    rgb.convert("CMYK").save(folder / "ink.jpg")
    rgb.convert("LA").save(folder / "grey-see-through.png")
    rgb.quantize(64).save(folder / "palette.png")
    rgb.convert("1").save(folder / "black-and-white.png")
    rgb.save(folder / "damaged-profile.jpg", icc_profile=b"no profile" * 20)
    rgb.save(folder / "profile.png", icc_profile=_red_is_green())
    return sorted(folder.iterdir())


NOT_IN_NODE = {"plain.bmp", "plain.avif", "ink.jpg"}
NOT_IN_A_BROWSER = {"plain.tif", "sixteen-bits.tif"}


def _red_is_green() -> bytes:
    """A colour profile with a clear effect: sRGB's with two primaries exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


@pytest.fixture(scope="session")
def node_example(golden: Golden) -> Path:
    return install_or_skip("node", golden)


@pytest.fixture(scope="session")
def built_page(golden: Golden, edge_bundle: Path) -> Path:
    skip_outside_ci(None if chromium_binary() else "chromium is not installed; install it.")
    return install_or_skip("browser", golden, lambda place: build(place, edge_bundle))


@pytest.fixture
def page(built_page: Path, tmp_path: Path) -> Iterator[Page]:
    with open_page(built_page, tmp_path / "profile") as page:
        yield page


def install_or_skip(example: str, golden: Golden, build: Callable[[Path], object] = lambda place: None) -> Path:
    """Install and build an npm example; skip the test on a laptop without npm or network."""
    skip_outside_ci(_npm_wrong())
    try:
        place = golden.get(f"npm-{example}", lambda folder: build(install(example, folder)))
    except RuntimeError as error:
        if any(code in str(error) for code in NO_NETWORK):
            skip_outside_ci(f"npm cannot reach its registry: {error}")
        raise
    return place / example


def _npm_wrong() -> str | None:
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; install them."
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = tuple(int(part) for part in said.removeprefix("v").split(".")[:2])
    return (
        None if found >= NODE else f"Expected node of version {NODE[0]}.{NODE[1]} or newer, found {said}; install it."
    )


Example = Callable[[list[Path]], list[Said]]


@pytest.fixture(params=["python", "node"])
def example(request: pytest.FixtureRequest, edge_bundle: Path) -> Example:
    edge = edge_bundle / "edge.onnx"
    if request.param == "python":
        return lambda photos: python_says(edge, photos)
    place = request.getfixturevalue("node_example")
    return lambda photos: node_says(place, edge, photos)


def test_the_labels_are_hangtags(example: Example, edge_bundle: Path, ordinary: list[Path]) -> None:
    expected = hangtag_says(load(edge_bundle), ordinary)
    assert len({said.label for said in expected}) > 1, "a label that is always the same proves nothing"
    assert len({said.review for said in expected}) > 1, "and so does a status"
    got = example(ordinary)
    assert [said.label for said in got] == [said.label for said in expected]
    assert [said.review for said in got] == [said.review for said in expected]


def test_the_python_example_decodes_every_format_that_it_claims(
    edge_bundle: Path, edge_says: EdgeSays, claimed: list[Path]
) -> None:
    said, expected = python_says(edge_bundle / "edge.onnx", claimed), edge_says(claimed)
    assert [answer.label for answer in said] == [answer.label for answer in expected]
    assert [answer.confidence for answer in said] == pytest.approx([e.confidence for e in expected], abs=1e-3)


def test_the_node_example_decodes_every_format_that_it_claims(
    node_example: Path, edge_bundle: Path, edge_says: EdgeSays, claimed: list[Path]
) -> None:
    photos = [photo for photo in claimed if photo.name not in NOT_IN_NODE]
    said, expected = node_says(node_example, edge_bundle / "edge.onnx", photos), edge_says(photos)
    assert [answer.label for answer in said] == [answer.label for answer in expected]
    assert [answer.confidence for answer in said] == pytest.approx([e.confidence for e in expected], abs=ODD)


@pytest.fixture(params=["python", "js"])
def card_example(request: pytest.FixtureRequest, edge_bundle: Path, tmp_path: Path) -> Example:
    """The code of a bundle's card for use without Hangtag, run for one photo after the other."""
    card = (edge_bundle / "README.md").read_text()
    (program,) = (text for text in re.findall(rf"```{request.param}\n(.*?)```", card, re.DOTALL) if "edge.onnx" in text)
    for name in ("edge.onnx", "labels.txt"):
        shutil.copy(edge_bundle / name, tmp_path)
    if request.param == "js":
        (tmp_path / "node_modules").symlink_to(request.getfixturevalue("node_example") / "node_modules")
    script = tmp_path / {"python": "card.py", "js": "card.mjs"}[request.param]
    script.write_text(program)

    def says(photo: Path) -> Said:
        shutil.copy(photo, tmp_path / "shoe.jpg")
        command = ["node"] if request.param == "js" else [sys.executable, "-P"]
        label, confidence, status = run_program(*command, script, folder=tmp_path).split()
        return Said(label, float(confidence), status == "review")

    return lambda photos: [says(photo) for photo in photos]


def test_the_examples_of_the_card_say_what_hangtag_says(
    card_example: Example,
    edge_bundle: Path,
    edge_says: EdgeSays,
    ordinary: list[Path],
    odd: list[Path],
    claimed: list[Path],
) -> None:
    photos = ordinary[::3]
    assert [said.label for said in card_example(photos)] == [
        said.label for said in hangtag_says(load(edge_bundle), photos)
    ]
    odd = [photo for photo in odd if photo.stem in {"turned", "see-through", "grey"}]
    odd += [photo for photo in claimed if photo.name == "sixteen-bits.png"]
    said, expected = card_example(odd), edge_says(odd)
    assert [answer.label for answer in said] == [answer.label for answer in expected]
    assert [answer.confidence for answer in said] == pytest.approx([e.confidence for e in expected], abs=ODD)


READ_PHOTO = """(async (data) => {{
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const {{ rgb, width, height }} = await (await import("./photo.mjs")).readPhoto(new Blob([bytes(data)]));
    const text = await new Promise((done) => {{
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]);
        reader.readAsDataURL(new Blob([rgb]));
    }});
    return JSON.stringify([width, height, text]);
}})("{data}")"""


def test_the_page_shows_labels_and_needed_reviews(
    page: Page, edge_bundle: Path, edge_says: EdgeSays, ordinary: list[Path]
) -> None:
    cards, expected = page.choose(ordinary), edge_says(ordinary)
    assert [card.label for card in cards] == [said.label for said in hangtag_says(load(edge_bundle), ordinary)]
    assert page.tab.complaints() == []
    assert len({prediction.reason for prediction in expected}) > 1, "a reason that is always the same proves nothing"
    assert [card.doubt or None for card in cards] == [prediction.reason for prediction in expected]
    assert [card.confidence for card in cards] == pytest.approx([e.confidence for e in expected], abs=1e-4)
    assert ["a person should look" in card.text for card in cards] == [prediction.review for prediction in expected]


def test_every_pixel_is_hangtags(page: Page, ordinary: list[Path], odd: list[Path], claimed: list[Path]) -> None:
    for photo in [*ordinary[:3], *odd, *(photo for photo in claimed if photo.name not in NOT_IN_A_BROWSER)]:
        ours, theirs = whole_pixels(photo.read_bytes()).astype(int), pixels_in(page, photo)
        assert ours.shape == theirs.shape, photo.name
        rounding = 2 if photo.stem == "profile" else 0  # colour engines differ by rounding
        assert np.abs(ours - theirs).max() <= rounding, photo.name


def test_a_file_that_is_not_a_photo_is_reported_and_the_next_labelled(
    page: Page, ordinary: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    first, second = page.choose([broken, ordinary[0]])
    assert first.state == "failed"
    assert "cannot be read" in first.text
    assert second.label


def test_no_request_leaves_the_host_and_none_is_needed(page: Page, ordinary: list[Path]) -> None:
    page.tab.tell("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    assert all(card.label for card in page.choose(ordinary[:2]))
    asked = page.tab.requests()
    assert f"{page.url}vendor/ort-wasm-simd-threaded.wasm" in asked, "requests are seen"
    assert [url for url in asked if not url.startswith((page.url, f"blob:{page.url}"))] == []


def pixels_in(page: Page, photo: Path) -> Pixels:
    data = base64.b64encode(photo.read_bytes()).decode()
    width, height, text = json.loads(page.tab.run(READ_PHOTO.format(data=data)))
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)
