"""Paths that lead out of the folder of a job's photos."""

import os

import pytest

from models.errors import ImageError, ImageFault
from tests.photo_jobs import outcome_of


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"photo")
    (root / "sub" / "b.jpg").write_bytes(b"photo")
    (tmp_path / "photos-secret").mkdir()
    (tmp_path / "photos-secret" / "s.jpg").write_bytes(b"secret")
    (tmp_path / "s.jpg").write_bytes(b"secret")
    (tmp_path / "mount").symlink_to(root)
    (root / "link.jpg").symlink_to(tmp_path / "s.jpg")
    (root / "relative.jpg").symlink_to("../s.jpg")
    (root / "twice.jpg").symlink_to("link.jpg")
    (root / "out").symlink_to(tmp_path)
    (root / "sibling").symlink_to(tmp_path / "photos-secret")
    (root / "self").symlink_to("/proc/self")
    (root / "in.jpg").symlink_to("sub/b.jpg")
    (root / "in").symlink_to(root / "sub")
    return root


@pytest.mark.parametrize(
    "cell",
    [
        "../s.jpg", "../../../../../../../../etc/passwd", "sub/../../s.jpg", "sub/../a.jpg",
        "./../s.jpg", "..", "sub/..", "../photos-secret/s.jpg", "../photos/a.jpg",
        "../nothing-there", "/etc/passwd", "//etc/passwd", "/proc/self/environ", "/dev/zero", "/",
        "{outside}/s.jpg", "{outside}/photos/../s.jpg", "{outside}/photos-secret/s.jpg", "link.jpg",
        "relative.jpg", "twice.jpg", "out/s.jpg", "out/photos/link.jpg", "sibling/s.jpg",
        "self/environ", "self/cwd/../../etc/passwd",
    ],
)  # fmt: skip
def test_it_is_refused(cell, root):
    outcome = outcome_of(root, cell.format(outside=root.parent))
    assert isinstance(outcome, ImageError)
    assert outcome.fault is ImageFault.REFUSED, outcome
    assert "put a copy into the folder" in str(outcome)


@pytest.mark.parametrize(
    "cell",
    ["a.jpg", "./a.jpg", "sub//b.jpg", "in.jpg", "in/b.jpg", "{outside}/photos/a.jpg", "out/photos/a.jpg"],
)
def test_what_lies_in_the_folder_is_read(cell, root):
    assert outcome_of(root, cell.format(outside=root.parent)) == b"photo"


@pytest.mark.parametrize("cell", ["a.jpg", "{outside}/mount/a.jpg", "{outside}/photos/a.jpg"])
def test_a_folder_may_be_reached_by_a_link(cell, root):
    assert outcome_of(root.parent / "mount", cell.format(outside=root.parent)) == b"photo"


def test_a_person_at_home_may_read_anything(root):
    for cell in ("../s.jpg", "link.jpg", f"{root.parent}/s.jpg"):
        assert outcome_of(root, cell, confined=False) == b"secret"


@pytest.mark.parametrize("confined", [True, False])
def test_nothing_there_is_missing(root, confined):
    for cell in ("nothing.jpg", "a.jpg/b.jpg", "%2e%2e/s.jpg", "..\\s.jpg", "http"):
        if confined or "\\" not in cell:  # which is taken for a slash where nothing else is there
            assert outcome_of(root, cell, confined=confined).fault is ImageFault.MISSING


def test_a_pipe_in_the_folder_blocks_nobody(root):
    os.mkfifo(root / "pipe")
    assert outcome_of(root, "pipe").fault is ImageFault.UNREADABLE


@pytest.mark.parametrize("cell", [None, "", " ", "\xa0\n"])
def test_an_empty_cell_has_a_fault_of_its_own(root, cell):
    assert outcome_of(root, cell).fault is ImageFault.EMPTY_CELL
