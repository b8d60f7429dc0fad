"""One watch of a folder, by a clock of the tests' own."""

import contextlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.bundle import open_bundle
from models.errors import HangtagError
from tests.paper_bundle import shop_registry
from worker.queue.options import Only
from worker.request import JobOptions

from .watched_place import Fate, KilledError, MortalStorage, Watched, rows_of


def test_a_file_that_has_settled_becomes_a_job_once(place: Watched) -> None:
    place.list("nightly.csv", "a.jpg", "b.jpg")
    inbox = place.inbox()
    inbox.look(0.0)
    inbox.look(4.9)
    assert place.jobs.names() == []
    for now in (5.0, 7.0, 99.0):
        inbox.look(now)
    ((file, name),) = place.heard.new
    assert file == "nightly.csv"
    assert name.startswith("nightly-")
    spec = place.jobs.find(name).spec
    assert (spec.rows, spec.source, spec.image_root) == (2, str(place.folder / file), str(place.root / "photos"))
    assert not inbox.faults


def test_other_content_is_another_job_and_another_time_is_not(place: Watched) -> None:
    inbox = place.inbox()
    for night in range(3):
        place.list("nightly.csv", f"{night}.jpg")
        place.settle(inbox)
        os.utime(place.folder / "nightly.csv", (night, night))
        place.settle(inbox)
    assert [file for file, _ in place.heard.new] == ["nightly.csv"] * 3
    assert len({name for _, name in place.heard.new}) == 3
    place.list("nightly.csv", "0.jpg")
    place.settle(inbox)
    assert len(place.heard.new) == 3, "that content was labelled before"


def test_two_folders_with_the_same_files_are_jobs_of_their_own(place: Watched, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for here in (place, place.asked(folder=tmp_path / "other")):
        here.list("a.csv", "1.jpg")
        here.write("1.jpg", "")
        here.settle(here.inbox())
    assert len({name for _, name in place.heard.new}) == 4


def test_after_a_restart_nothing_is_taken_twice(place: Watched) -> None:
    place.list("a.csv", "a.jpg")
    place.write("cam/1.jpg", "")
    place.settle(place.inbox())
    place.settle(place.inbox())
    assert [what for what, _ in place.heard.new] == ["a.csv", "1 photo"]
    assert not place.heard.old


def test_a_job_that_was_deleted_does_not_come_back(place: Watched) -> None:
    place.list("a.csv", "a.jpg")
    place.settle(place.inbox())
    ((_, name),) = place.heard.new
    place.jobs.storage(name).delete("job.json")
    place.settle(place.inbox())
    assert place.jobs.get(name) is None


BAD = {
    "not utf-8": (b"image\n\xff.jpg\n", "UTF-8"),
    "a cell too many": (b"sku,image\n1,2,3\n", "Expected 2 cells"),
    "no photo's column": (b"a,b\n1,2\n", "Which column"),
    "a column that labelling adds": (b"image,label\n1,2\n", "--prefix"),
    "empty": (b"", "empty file"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_catalogue_is_refused_once_and_stops_nothing(place: Watched, what: str) -> None:
    data, reason = BAD[what]
    (place.folder / "bad.csv").write_bytes(data)
    place.list("good.csv", "a.jpg")
    inbox = place.inbox()
    place.settle(inbox, looks=4)
    place.settle(place.inbox())
    ((file, said),) = place.heard.refusals
    assert file == "bad.csv"
    assert reason in said
    assert [file for file, _ in place.heard.new] == ["good.csv"]
    assert inbox.faults == 1
    place.list("bad.csv", "a.jpg")
    place.settle(inbox)
    assert [file for file, _ in place.heard.new] == ["good.csv", "bad.csv"], "mended"


def test_a_damaged_parquet_file_is_refused(place: Watched) -> None:
    place.write("bad.parquet", "PAR1 and no more")
    place.settle(place.inbox())
    assert [file for file, _ in place.heard.refusals] == ["bad.parquet"]


def test_a_refusal_holds_for_the_options_that_it_was_made_with(place: Watched) -> None:
    place.write("bad.csv", "image,label\na.jpg,shoe\n")
    place.bring("a.jpg")
    place.settle(place.inbox())
    place.settle(place.inbox())
    other = place.each(options=JobOptions(prefix="ht_"))
    other.settle(other.inbox())
    assert len(place.heard.refusals) == 1
    assert [file for file, _ in place.heard.new] == ["bad.csv"]


def test_a_model_that_is_gone_refuses_no_file(place: Watched, tmp_path: Path, bundle: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes((bundle / "model.onnx").read_bytes())
    gone = place.each(model=model)
    inbox = gone.inbox()
    model.unlink()
    place.list("a.csv", "a.jpg")
    place.write("bad.csv", "")
    gone.settle(inbox, looks=4)
    assert not place.heard.refusals
    assert {what for what, _ in place.heard.troubles} == {"a.csv", "bad.csv"}
    assert len(place.heard.troubles) == 2, "each is said once"
    model.write_bytes((bundle / "model.onnx").read_bytes())
    gone.settle(inbox, looks=1)
    assert [file for file, _ in place.heard.new] == ["a.csv"]
    assert [file for file, _ in place.heard.refusals] == ["bad.csv"]


def test_an_image_root_that_is_away_refuses_no_file(place: Watched, tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    rooted = place.each(image_root=tmp_path / "share")
    inbox = rooted.inbox()
    rooted.list("a.csv", "a.jpg")
    away = (tmp_path / "share").rename(tmp_path / "away")
    rooted.settle(inbox)
    assert not place.heard.refusals
    away.rename(tmp_path / "share")
    rooted.settle(inbox, looks=1)
    assert [file for file, _ in place.heard.new] == ["a.csv"]


def test_a_folder_that_goes_away_for_a_while_is_waited_for(place: Watched) -> None:
    place.list("a.csv", "a.jpg")
    inbox = place.inbox()
    away = place.folder.rename(place.root / "away")
    place.settle(inbox, looks=3)
    assert [what for what, _ in place.heard.troubles] == ["the folder"]
    away.rename(place.folder)
    place.settle(inbox)
    assert [file for file, _ in place.heard.new] == ["a.csv"]


def test_what_is_neither_catalogue_nor_photo_is_told_once_a_kind(place: Watched) -> None:
    for path in ("a.xlsx", "b.xlsx", "old/a.csv", "README"):
        place.write(path, "")
    inbox = place.inbox()
    place.settle(inbox, looks=4)
    assert [path for path, _ in place.heard.others] == ["README", "a.xlsx", "old/a.csv"]
    assert not inbox.faults


def test_photos_are_gathered_into_one_job(place: Watched) -> None:
    names = [f"cam/{number:03}.jpg" for number in range(300)]
    inbox = place.inbox()
    for number, name in enumerate(names):
        place.write(name, "")
        if number % 100 == 0:
            inbox.look(number / 100)
    inbox.look(6.5)
    assert not place.heard.new, "the last came less than 5 s ago"
    inbox.look(8.0)
    inbox.look(13.0)
    ((what, name),) = place.heard.new
    assert what == "300 photos"
    job = place.jobs.find(name)
    assert [*job.chunk_images(0), *job.chunk_images(1)] == names
    assert (job.spec.image_root, job.spec.source) == (str(place.folder), str(place.folder))


def test_photos_that_keep_coming_wait_a_minute_at_most(place: Watched) -> None:
    inbox = place.inbox()
    for second in range(0, 140, 2):
        place.write(f"{second}.jpg", "")
        inbox.look(float(second))
    assert [what for what, _ in place.heard.new] == ["31 photos", "31 photos"]


def test_a_photo_that_is_written_anew_is_a_new_row(place: Watched) -> None:
    inbox = place.inbox()
    place.write("1.jpg", "")
    place.write("2.jpg", "")
    place.settle(inbox)
    place.write("1.jpg", "other")
    place.settle(inbox)
    assert [what for what, _ in place.heard.new] == ["2 photos", "1 photo"]
    assert rows_of(place.jobs) == {"1.jpg": 2, "2.jpg": 1}


def test_photos_have_no_groups(place: Watched) -> None:
    grouped = place.each(options=JobOptions(group_column="sku"))
    place.write("1.jpg", "")
    grouped.settle(grouped.inbox())
    ((_, name),) = place.heard.new
    assert place.jobs.find(name).spec.options.group_column is None


@pytest.mark.parametrize("only", Only)
def test_one_kind_of_files_can_be_asked_for(place: Watched, only: Only) -> None:
    place.list("a.csv", "1.jpg")
    place.write("1.jpg", "")
    place.write("x.xlsx", "")
    asked = place.asked(only=only)
    asked.settle(asked.inbox())
    assert [what for what, _ in place.heard.new] == ["a.csv" if only is Only.CATALOGUES else "1 photo"]
    assert not place.heard.others


def test_a_damaged_log_of_photos_is_told(place: Watched) -> None:
    place.write("1.jpg", "")
    place.settle(place.inbox())
    (log,) = (place.root / "jobs" / "_watched" / "photos").rglob("*.json")
    log.write_text("[[1]]")
    with pytest.raises(HangtagError, match="Expected a list of photos"):
        place.inbox()


def test_what_cannot_be_said_to_be_a_name_is_left_out(place: Watched) -> None:
    (place.folder / os.fsdecode(b"\xff.jpg")).touch()
    place.settle(place.inbox())
    ((_, reason),) = place.heard.others
    assert reason == "its name is not UTF-8; rename it"


def test_an_encoding_is_of_the_files_that_have_one(place: Watched) -> None:
    cp1252 = place.each(encoding="cp1252")
    for photo in ("café.jpg", "b.jpg"):
        place.bring(photo)
    (place.folder / "a.csv").write_bytes("image\ncafé.jpg\n".encode("cp1252"))
    pq.write_table(pa.table({"image": ["b.jpg"]}), place.folder / "b.parquet")
    cp1252.settle(cp1252.inbox())
    assert not place.heard.refusals
    assert rows_of(place.jobs) == {"café.jpg": 1, "b.jpg": 1}


def test_a_sub_folder_that_cannot_be_read_stops_nothing_whatever_it_is_called(place: Watched) -> None:
    """It is too far down for the system's longest path, and what lies beside it is not."""
    longest = 4095
    deep = place.folder
    with contextlib.chdir(deep):
        while (left := longest - len("/a.jpg") - len(os.fsencode(deep))) > 0:
            deep /= "d" * (199 if left == 202 else min(200, left - 1))  # a single character left has no room for a name
            Path(deep.name).mkdir()
            os.chdir(deep.name)
        Path("photos").mkdir()
        Path("a.jpg").touch()
    watched = place.asked(folder=deep)
    watched.settle(watched.inbox(), looks=4)
    assert [what for what, _ in place.heard.troubles] == ["photos/"]
    assert [what for what, _ in place.heard.new] == ["1 photo"]


def test_each_job_takes_the_champion_of_its_time(place: Watched, tmp_path: Path, bundle: Path) -> None:
    shelf = shop_registry(tmp_path, bundle)
    place = place.each(model="shop@champion", registry=shelf.place)
    inbox = place.inbox()
    steps = (lambda: None, lambda: shelf.promote("shop", 2, "better"), lambda: shelf.rollback("shop", "worse"))
    for night, step in enumerate(steps):
        step()
        place.list(f"{night}.csv", f"{night}.jpg")
        place.settle(inbox)
    digests = [place.jobs.find(name).spec.model.digest for _, name in place.heard.new]
    assert digests == [open_bundle(shelf.path("shop", version)).digest for version in (1, 2, 1)]


def test_a_catalogue_of_which_no_photo_is_there_waits_for_them(place: Watched) -> None:
    place.list("late.csv", "late.jpg")
    place.list("good.csv", "a.jpg")
    (place.root / "photos" / "late.jpg").unlink()
    inbox = place.inbox()
    place.settle(inbox, looks=4)
    ((what, reason),) = place.heard.troubles
    assert what == "late.csv"
    assert reason.startswith("None of these photos can be read: missing")
    assert [file for file, _ in place.heard.new] == ["good.csv"]
    place.bring("late.jpg")
    place.settle(inbox, looks=1)
    assert [file for file, _ in place.heard.new] == ["good.csv", "late.csv"]
    assert not place.heard.refusals


def test_photos_that_went_away_before_their_job_was_made_hold_up_no_others(place: Watched) -> None:
    def die() -> None:
        raise KilledError

    place.write("1.jpg", "")
    with pytest.raises(KilledError):
        place.settle(place.inbox(MortalStorage(place.root / "jobs", Fate(2, die))))
    (place.folder / "1.jpg").unlink()
    place.write("2.jpg", "")
    place.settle(place.inbox())
    assert rows_of(place.jobs) == {"1.jpg": 1, "2.jpg": 1}
    assert not place.heard.troubles


def test_what_was_submitted_or_refused_before_is_told_at_the_start(place: Watched) -> None:
    place.list("a.csv", "a.jpg")
    place.write("bad.csv", "")
    place.write("cam/1.jpg", "")
    place.settle(place.inbox(), looks=3)
    assert (place.heard.known, place.heard.photos) == ([], [])
    job = dict(place.heard.new)["a.csv"]
    place.settle(place.inbox(), looks=3)
    ((_, reason),) = place.heard.refusals
    assert place.heard.known == [("a.csv", job, ""), ("bad.csv", None, reason)]
    assert place.heard.photos == [1]


@pytest.mark.parametrize("noted", [True, False])
def test_a_file_whose_job_has_other_options_is_told_with_them(place: Watched, tmp_path: Path, noted: bool) -> None:
    """Also if its note was deleted, or if the process that made the job was killed before it wrote one."""
    place.list("a.csv", "a.jpg")
    place.settle(place.inbox())
    ((_, job),) = place.heard.new
    (mark,) = (place.root / "jobs" / "_watched").rglob("*.json")
    if not noted:
        mark.unlink()
    (tmp_path / "other").mkdir()
    other = place.each(image_root=tmp_path / "other", options=JobOptions(top_k=1), variant="float32")
    other.list("b.csv", "b.jpg")
    other.settle(other.inbox())
    told = f"--image-root was {tmp_path}/photos, is {tmp_path}/other; --top-k was 3, is 1"
    assert place.heard.known == [("a.csv", job, told)]
    assert [file for file, _ in place.heard.new] == ["a.csv", "b.csv"]
    assert not place.heard.old
    assert mark.exists()


def test_a_file_that_is_renamed_is_labelled_again_with_the_options_of_now(place: Watched, tmp_path: Path) -> None:
    place.list("a.csv", "a.jpg")
    place.settle(place.inbox())
    (tmp_path / "other").mkdir()
    other = place.each(image_root=tmp_path / "other")
    other.bring("a.jpg")
    inbox = other.inbox()
    other.settle(inbox)
    (place.folder / "a.csv").rename(place.folder / "a-again.csv")
    other.settle(inbox)
    (_, job) = place.heard.new[1]
    assert place.jobs.find(job).spec.image_root == str(tmp_path / "other")


def test_another_model_is_another_option_and_an_alias_that_moved_is_none(
    place: Watched, tmp_path: Path, bundle: Path
) -> None:
    shelf = shop_registry(tmp_path, bundle)
    first = place.each(model="shop@champion", registry=shelf.place)
    first.list("a.csv", "a.jpg")
    first.settle(first.inbox())
    shelf.promote("shop", 2, "better")
    first.settle(first.inbox())
    assert [why for _, _, why in place.heard.known] == [""]
    second = first.each(model="shop@2")
    second.settle(second.inbox())
    place.settle(place.inbox())
    here = place.request.each.model
    assert [why for _, _, why in place.heard.known][1:] == [
        "--model was shop@champion, is shop@2",
        f"--model was shop@champion, is {here.resolve()}",
    ]
