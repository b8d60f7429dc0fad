import shutil
from pathlib import Path

from catalogue.catalogue import open_catalogue
from models.classifier import load
from models.errors import ImageFault
from models.storage.storage import FolderStorage
from tests.label_chunk import PaperModel, run_chunk
from tests.photo_jobs import only_question
from tests.row_results import read_part_file
from worker.job.job import commit_retry
from worker.job.writer import create_job
from worker.labelling.chunk import attempt_on, earlier_attempts, forget_attempts


def read_part(job, chunk: int) -> list[dict]:
    return read_part_file(job.storage, job.part_keys()[chunk]).to_pylist()


def test_every_kind_of_bad_cell_is_a_failed_row(make_job, tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    good = next(catalogue.rglob("*.png"))
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    cells = [str(good), "gone.jpg", "text.jpg", "folder.jpg", "", "ftp://shop.example/a.jpg", "\x00"]
    (tmp_path / "list.csv").write_text("image,n\n" + "".join(f'"{cell}",{i}\n' for i, cell in enumerate(cells)))
    job = make_job(tmp_path / "list.csv")
    run_chunk(job, 0, load(bundle))
    rows = read_part(job, 0)
    assert [row["error"] for row in rows] == [
        None, ImageFault.MISSING, ImageFault.UNREADABLE, ImageFault.UNREADABLE, ImageFault.EMPTY_CELL,
        ImageFault.REFUSED, ImageFault.MISSING,
    ]  # fmt: skip
    assert all(row["error_message"] for row in rows[1:])
    assert all(row["label"] is None and row["confidence"] is None and row["top_k"] is None for row in rows[1:])


def test_a_photo_at_which_something_unforeseen_happens_fails_alone(
    make_job, tmp_path: Path, catalogue: Path, panicking_photo: bytes, caplog
) -> None:
    (tmp_path / "panic.jpg").write_bytes(panicking_photo)
    cells = [next(catalogue.rglob("*.png")), "panic.jpg", next(catalogue.rglob("*.png"))]
    (tmp_path / "list.txt").write_text("".join(f"{cell}\n" for cell in cells))
    job = create_job(FolderStorage(tmp_path / "job"), open_catalogue(tmp_path / "list.txt"), only_question())
    assert run_chunk(job, 0, PaperModel())
    rows = read_part(job, 0)
    assert [row["error"] for row in rows] == [None, ImageFault.UNREADABLE, None]
    assert "Panic: index out of bounds" in rows[1]["error_message"]
    (logged,) = [record for record in caplog.records if record.event == "photo_failed"]
    assert logged.fields["photo"] == "panic.jpg"
    assert "in load" in logged.fields["traceback"]


def test_a_suspect_photo_that_is_innocent_is_labelled_the_same(make_job, catalogue: Path, bundle: Path) -> None:
    job = make_job(catalogue, chunk_rows=4)
    marker = job.storage.root / "in_progress" / "000000.00000000dead"
    marker.parent.mkdir()
    marker.write_text("2")
    assert earlier_attempts(job.storage, 0).rows == {2}
    run_chunk(job, 0, load(bundle))
    result = read_part(job, 0)[2]
    assert result["label"] == load(bundle).classify(catalogue / job.chunk_images(0)[2]).label
    assert not marker.exists()


def test_with_a_few_suspects_no_photo_is_trusted(make_job, tmp_path, bundle, monkeypatch) -> None:
    """The plugin is in the throw-away processes only: here the photo would be unreadable, there it crashes them."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "plugins"))
    (tmp_path / "boom.jpg").write_bytes(b"BOOM")
    source = tmp_path / "list.txt"
    source.write_text("boom.jpg\n" * 4)
    job = make_job(source)
    (job.storage.root / "in_progress").mkdir(parents=True)
    for row in range(3):
        (job.storage.root / "in_progress" / f"000000.{row:08d}dead").write_text(str(row))
    run_chunk(job, 0, load(bundle))
    assert [row["error"] for row in read_part(job, 0)] == ["crashed"] * 4


def test_a_retry_keeps_the_rows_of_the_part_before_it_and_does_all_of_one_that_a_person_deleted(
    make_job, tmp_path: Path, catalogue: Path, bundle: Path
) -> None:
    first, late = tmp_path / "first.png", tmp_path / "late.png"
    shutil.copyfile(next(catalogue.rglob("*.png")), first)
    (tmp_path / "list.txt").write_text("first.png\nlate.png\n")
    job = make_job(tmp_path / "list.txt")
    run_chunk(job, 0, load(bundle))
    job.storage.delete(job.part_keys()[0])
    commit_retry(job.storage, 1, [0], 1)
    run_chunk(job, 0, load(bundle))
    assert job.storage.names("parts") == ["000000.r1.arrow"]
    kept = read_part(job, 0)[0]
    first.rename(late)  # the first row would be missing if it were done again
    commit_retry(job.storage, 2, [0], 1)
    run_chunk(job, 0, load(bundle))
    rows = read_part(job, 0)
    assert rows[0] == kept
    assert [row["error"] for row in rows] == [None, None]


def leave_marker(storage: FolderStorage, chunk: int, row: int) -> None:
    """What a process leaves that dies with a row in hand."""
    with attempt_on(storage, chunk) as note:
        note(row)
        (marker,) = [m for m in (storage.root / "in_progress").iterdir() if not m.name.endswith("dead")]
    marker.with_name(f"{chunk:06d}.{row:08d}dead").write_text(f"{row:<12}")


def test_attempts_do_not_hide_each_others_rows(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    leave_marker(storage, 3, 17)
    leave_marker(storage, 3, 5)
    assert earlier_attempts(storage, 3).rows == {5, 17}
    assert earlier_attempts(storage, 3).deaths == 2
    forget_attempts(storage, 3)
    assert earlier_attempts(storage, 3).rows == set()


def test_a_row_is_a_suspect_only_while_it_is_in_hand(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    with attempt_on(storage, 0) as note:
        for row in (123456, 7, None):
            note(row)
            assert earlier_attempts(storage, 0).rows == (set() if row is None else {row})
        note(1)
    assert earlier_attempts(storage, 0) == (0, set()), "a try that ended by itself leaves nothing"
