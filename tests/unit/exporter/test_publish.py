import hashlib
import os
import stat

import pytest

from exporter.publish import check_free, check_place, publish, sha256_of
from models.bundle import open_bundle
from models.errors import BundleError, InputError

FILES = {"model.onnx": b"model", "golden/a.jpg": b"photo"}


def approve(bundle):
    """A check that only wants the bundle to be whole."""
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


def test_others_may_read_a_bundle(tmp_path, manifest):
    publish(tmp_path / "shop", FILES, manifest, approve)
    assert stat.S_IMODE((tmp_path / "shop").stat().st_mode) == 0o755


def a_folder(place):
    place.mkdir()


def a_file(place):
    place.write_text("mine")


def a_link_to_nothing(place):
    place.symlink_to("nowhere")


@pytest.mark.parametrize("make", [a_folder, a_file, a_link_to_nothing])
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
    with pytest.raises(InputError, match="Could not write the bundle"):
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


@pytest.mark.parametrize("place", ["file/shop", "x" * 300], ids=["below a file", "too long"])
def test_a_place_that_cannot_be_is_an_input_error(tmp_path, manifest, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        publish(tmp_path / place, FILES, manifest, approve)
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names


def test_a_free_place_is_free(tmp_path):
    check_free(tmp_path / "shop")


def test_a_place_that_is_taken_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(InputError, match="never overwritten; pass another --out, or delete it"):
        check_free(tmp_path)


def test_digests_are_listed_by_name():
    digests = sha256_of(FILES)
    assert list(digests) == sorted(FILES)
    assert digests["model.onnx"] == hashlib.sha256(b"model").hexdigest()


def test_a_place_that_another_export_took_meanwhile_is_refused_like_any_other(manifest, tmp_path):
    def overtaken(bundle):
        (tmp_path / "shop").mkdir()

    with pytest.raises(InputError, match="exists, and a bundle is never overwritten"):
        publish(tmp_path / "shop", FILES, manifest, overtaken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop"]


@pytest.mark.parametrize("parent", ["file", "file/deeper"])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tmp_path, parent):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"Expected to write into .*file.*; pass another --out"):
        check_place(tmp_path / parent / "shop")


def test_a_place_that_is_free_is_left_as_it_was(tmp_path):
    check_place(tmp_path / "shop")
    assert list(tmp_path.iterdir()) == []
