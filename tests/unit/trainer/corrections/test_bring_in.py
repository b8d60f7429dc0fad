import hashlib
from itertools import permutations
from pathlib import Path

import pytest

from models.errors import InputError
from tests.unit.trainer.test_run import ARGS
from tests.unit.worker.test_job import SPEC
from trainer.corrections.importing import SheetOptions, import_corrections
from trainer.corrections.store import CorrectionStore
from trainer.run import Run


def imported(folder: Path, text: str, **options):
    (folder / "file.csv").write_text(text)
    return import_corrections(
        folder / "file.csv", CorrectionStore(folder / "corrections.csv"), SheetOptions(reviewer="anna", **options)
    )


def test_a_word_that_names_a_path_gets_the_sha256_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"one")
    done = imported(tmp_path, "image,label\nphotos/1.jpg,hats\nphotos/2.jpg,boots\n")
    first, second = sorted(done.added.words, key=lambda word: word.image)
    assert (first.sha256, first.image) == (hashlib.sha256(b"one").hexdigest(), str(tmp_path / "photos" / "1.jpg"))
    assert (second.sha256, done.pathbound) == ("", 1)


def test_importing_a_file_again_brings_nothing_new(tmp_path: Path) -> None:
    text = "image,label\n1.jpg,hats\n2.jpg,boots\n"
    assert len(imported(tmp_path, text).added.words) == 2
    again = imported(tmp_path, text)
    assert (again.added.words, again.added.known) == ((), 2)
    assert again.by_label == {}


def test_conflicts_are_told_and_end(tmp_path: Path) -> None:
    head = "image,label,reviewer,at\n"
    imported(tmp_path, f"{head}1.jpg,hats,anna,2026-05-01\n")
    assert len(imported(tmp_path, f"{head}1.jpg,boots,bob,2026-05-02\n").settled.conflicts) == 1
    assert imported(tmp_path, f"{head}1.jpg,boots,anna,2026-05-03\n").settled.conflicts == ()


def shop_photos(folder: Path) -> str:
    """Two photos under ``photos``; returns rows of a ``review.csv`` about them."""
    (folder / "photos").mkdir()
    rows = []
    for name in ("1.jpg", "2.jpg"):
        (folder / "photos" / name).write_bytes(name.encode())
        rows.append(f"{name},{hashlib.sha256(name.encode()).hexdigest()},hats\n")
    return "image,sha256,corrected\n" + "".join(rows)


def places(folder: Path) -> list[Path | None]:
    return sorted(word.path for word in CorrectionStore(folder / "corrections.csv").words())


def test_paths_that_lead_to_no_file_are_told_and_the_right_root_mends_them_once(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    wrong = imported(tmp_path, text)
    assert wrong.lost == (str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg"))
    right = imported(tmp_path, text, image_root=tmp_path / "photos")
    assert (right.lost, right.added.words, right.added.known, right.added.mended) == ((), (), 2, 2)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]
    again = imported(tmp_path, text, image_root=tmp_path / "photos")
    assert (again.added.words, again.added.known, again.added.mended) == ((), 2, 0)


def test_a_path_that_leads_nowhere_or_to_another_photo_replaces_none_that_leads_to_its_photo(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    imported(tmp_path, text, image_root=tmp_path / "photos")
    (tmp_path / "1.jpg").write_bytes(b"another photo")
    worse = imported(tmp_path, text)
    assert (worse.added.words, worse.added.mended) == ((), 0)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]


@pytest.mark.parametrize("order", list(permutations(["a", "photos", "b"])))
def test_in_whatever_order_roots_are_tried_the_words_are_the_same(tmp_path: Path, order: tuple[str, ...]) -> None:
    head, *rows = shop_photos(tmp_path).splitlines()
    text = "\n".join([f"{head},at", *(f"{row},2026-05-01" for row in rows)])
    for root in order:
        imported(tmp_path, text, image_root=tmp_path / root)
    assert places(tmp_path) == [tmp_path / "photos" / "1.jpg", tmp_path / "photos" / "2.jpg"]


def test_paths_start_where_the_job_beside_the_file_says(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    (tmp_path / "job.json").write_text(
        SPEC.model_copy(update={"image_root": str(tmp_path / "photos")}).model_dump_json()
    )
    done = imported(tmp_path, text)
    assert (done.root, done.lost) == (tmp_path / "photos", ())
    other = imported(tmp_path, text, image_root=tmp_path / "other")
    assert (other.root, len(other.lost)) == (None, 2)


def test_paths_of_a_file_of_a_run_start_at_its_data(tmp_path: Path) -> None:
    text = shop_photos(tmp_path)
    Run(tmp_path).write_args(ARGS.model_copy(update={"data": str(tmp_path / "photos")}))
    assert imported(tmp_path, text).root == tmp_path / "photos"


@pytest.mark.parametrize("root", ["s3://shop/photos", "https://cdn.example/photos", "/nowhere/at/all"])
def test_a_job_whose_photos_are_not_in_a_folder_here_says_nothing_of_paths(tmp_path: Path, root: str) -> None:
    (tmp_path / "job.json").write_text(SPEC.model_copy(update={"image_root": root}).model_dump_json())
    done = imported(tmp_path, "image,label\n1.jpg,hats\n")
    assert (done.root, done.lost) == (None, (str(tmp_path / "1.jpg"),))


def test_a_job_of_another_version_does_not_stop_an_import(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    assert imported(tmp_path, "image,label\n1.jpg,hats\n").root is None


def test_a_new_label_that_looks_like_a_known_one_is_refused_with_the_whole_file(tmp_path: Path) -> None:
    head = "image,top_k,label,corrected\n"
    sheet = f"{head}1.jpg,boots 0.60; hat 0.40,boots,hatt\n2.jpg,boots 0.90,boots,scarf\n"
    with pytest.raises(InputError, match=r"none was imported(.|\n)*--new-label hatt\.\n  hatt: do you mean hat\?"):
        imported(tmp_path, sheet)
    assert not (tmp_path / "corrections.csv").exists()
    assert imported(tmp_path, sheet, new_labels=("hatt",)).by_label == {"hatt": 1, "scarf": 1}
    with pytest.raises(InputError, match=r"\n  Scarf: do you mean scarf\?\n  scarfs: do you mean scarf\?"):
        imported(tmp_path, "image,label\n3.jpg,scarfs\n4.jpg,Scarf\n")
    assert len(imported(tmp_path, "image,label\n5.jpg,hatt\n6.jpg,gloves\n").added.words) == 2


def test_a_new_label_on_purpose_allows_no_other_typing_error(tmp_path: Path) -> None:
    imported(tmp_path, "image,label\n1.jpg,clock\n2.jpg,hat\n")
    with pytest.raises(InputError, match=r"--new-label clok\.\n  clok: do you mean clock\?$"):
        imported(tmp_path, "image,label\n3.jpg,clok\n4.jpg,hats\n", new_labels=("hats",))
