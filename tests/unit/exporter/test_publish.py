import subprocess
from pathlib import Path

import pytest
from PIL import Image

from exporter.assemble import golden_photos, publish
from exporter.options import check_place
from models.bundle import open_bundle
from models.errors import BundleError, InputError
from models.preprocess import PreprocessSpec, preprocess
from tests.command import HANGTAG

FILES = {name: name.encode() for name in ("model.onnx", "edge.onnx", "model.int8.onnx", "edge.int8.onnx")}


def approve(bundle):
    assert {name: (bundle / name).read_bytes() for name in FILES} == FILES
    open_bundle(bundle)


def test_a_bundle_holds_its_files_and_its_manifest(tmp_path, manifest):
    publish(tmp_path / "deep" / "shop", FILES, manifest, approve)
    place = tmp_path / "deep" / "shop"
    assert {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()} == {
        **FILES,
        "manifest.json": manifest.model_dump_json(indent=1).encode(),
    }
    assert open_bundle(place).manifest == manifest
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, Path.touch, lambda place: place.symlink_to("nowhere")],
    ids=["a folder", "a file", "a link to nothing"],
)
def test_what_is_there_already_stays(tmp_path, manifest, make):
    place = tmp_path / "shop"
    make(place)
    before = place.lstat()
    with pytest.raises(InputError, match="shop"):
        publish(place, FILES, manifest, approve)
    assert place.lstat() == before
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("name", ["x" * 300, "model.onnx/inside", "."], ids=["too long", "in a file", "a folder"])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, manifest, name):
    with pytest.raises(InputError, match="shop"):
        publish(tmp_path / "shop", {**FILES, name: b""}, manifest, approve)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [BundleError("no"), KeyError("no"), KeyboardInterrupt()], ids=repr)
def test_a_bundle_that_fails_its_check_is_not_published(tmp_path, manifest, error):
    def refuse(bundle):
        assert not (tmp_path / "shop").exists()
        raise error

    with pytest.raises(type(error)):
        publish(tmp_path / "shop", FILES, manifest, refuse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parent", ["file", "file/deeper"])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tmp_path, parent):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="--out"):
        check_place(tmp_path / parent / "shop")


def test_looking_at_a_place_leaves_no_folder(tmp_path: Path) -> None:
    check_place(tmp_path / "bundles" / "of" / "shop")
    assert list(tmp_path.iterdir()) == []


SPEC = PreprocessSpec(size=32)


@pytest.fixture
def photo(tmp_path):
    image = Image.new("RGB", (600, 400), "red")
    image.paste("blue", (0, 200, 600, 400))
    image.save(tmp_path / "shoe.png")
    return tmp_path / "shoe.png"


@pytest.fixture
def samples(photo):
    return dict(golden_photos([photo], SPEC).values())


def test_a_sample_of_each_kind_is_there_and_can_be_read(samples):
    assert set(samples) == {"photo", "non_square", "exif_rotated", "transparent"}
    for data in samples.values():
        assert preprocess(data, SPEC).shape == (32, 32, 3)


def test_what_cannot_be_read_is_passed_over(photo, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    (tmp_path / "folder.jpg").mkdir()
    samples = golden_photos([tmp_path / "page.jpg", tmp_path / "gone.jpg", photo], SPEC)
    assert len(samples) == 4
    assert golden_photos([tmp_path / "page.jpg"], SPEC) == {}
    assert golden_photos([tmp_path / "folder.jpg"], SPEC) == {}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_hard_cases_are_made_of_a_photo_of_any_mode(tmp_path, mode):
    Image.linear_gradient("L").convert("RGBA" if mode == "CMYK" else "L").convert(mode).save(tmp_path / "photo.tif")
    assert len(golden_photos([tmp_path / "photo.tif"], SPEC)) == 4


def test_an_export_says_nothing_but_its_own_words(tmp_path: Path) -> None:
    words = [*HANGTAG, "export", str(tmp_path / "none")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert line.startswith("hangtag: Expected a run")
