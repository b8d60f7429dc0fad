"""``examples/python`` and ``examples/node``, run as a person runs them."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.example_runs.programs import node_says, python_says, run_program
from benchmarks.example_runs.said import Said, hangtag_says
from models.classifier import load

from .examples import EdgeSays

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


def test_odd_photos_are_read_as_hangtag_reads_them(example: Example, edge_says: EdgeSays, odd: list[Path]) -> None:
    said, expected = example(odd), edge_says(odd)
    assert [answer.label for answer in said] == [answer.label for answer in expected]
    assert [answer.confidence for answer in said] == pytest.approx([e.confidence for e in expected], abs=0.01)


def test_a_lone_file_is_enough_for_python(edge_bundle: Path, ordinary: list[Path], tmp_path: Path) -> None:
    lone = Path(shutil.copy(edge_bundle / "edge.onnx", tmp_path))
    assert python_says(lone, ordinary[:1]) == python_says(edge_bundle / "edge.onnx", ordinary[:1])


def test_nothing_is_reported_or_left_behind(
    example: Example, ordinary: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime leaves an identity for its reports in the home folder where its telemetry is on."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    example(ordinary[:1])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_hundreds_of_photos_may_be_named(example: Example, ordinary: list[Path]) -> None:
    many = ordinary * 60
    assert sum(len(str(photo)) for photo in many) > 40_000, "long enough to break what reads its own command line"
    assert example(many) == example(ordinary) * 60


@pytest.fixture(params=["python", "js"])
def card_example(request: pytest.FixtureRequest, edge_bundle: Path, tmp_path: Path) -> Example:
    """What a bundle's card says to write, for want of Hangtag, run for one photo after the other."""
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
    card_example: Example, edge_bundle: Path, edge_says: EdgeSays, ordinary: list[Path], odd: list[Path]
) -> None:
    photos = ordinary[::3]
    assert [said.label for said in card_example(photos)] == [
        said.label for said in hangtag_says(load(edge_bundle), photos)
    ]
    odd = [photo for photo in odd if photo.stem in {"turned", "see-through", "grey"}]
    said, expected = card_example(odd), edge_says(odd)
    assert [answer.label for answer in said] == [answer.label for answer in expected]
    assert [answer.confidence for answer in said] == pytest.approx([e.confidence for e in expected], abs=0.01)
