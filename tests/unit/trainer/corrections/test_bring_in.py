import hashlib
from pathlib import Path

from trainer.corrections.bring_in import import_corrections
from trainer.corrections.sheet import SheetOptions
from trainer.corrections.store import CorrectionStore


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
