"""``hangtag demo``: the whole path, on a catalogue that Hangtag draws itself."""

import csv
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from exporter.console import export_and_show
from exporter.load_tensorflow import load_tensorflow
from exporter.options import ExportOptions
from models.benchmark.measure import BRIEF
from models.decision import ReviewReason
from models.errors import InputError, JobError, StoppedError
from models.preprocess import PreprocessSpec
from models.process import default_cache
from models.storage.storage import FolderStorage
from models.terminal import Console
from models.whole_file import replace_file
from pages.contact_sheet import draw_contact_sheet
from pages.tiles import LabelledPhoto
from trainer.check.screen import check_and_show
from trainer.console import train_and_show
from trainer.request import Arch, TrainRequest
from trainer.sample import draw_catalogue
from worker.console import label_with_progress
from worker.finish import RESULT_FILE, sheet_photo
from worker.job import Job, JobOptions
from worker.jobs import Jobs
from worker.label import earlier_job
from worker.receipt import Receipt, SampleRow, finished_receipt
from worker.receipt_page import receipt_page
from worker.request import LabelRequest
from worker.results import Status

__all__ = ["command", "run_demo"]

NEW_PHOTOS: Final = 300
IMAGE_SIZE: Final = 64
EPOCHS: Final = 25
SHEET_PHOTOS: Final = 48
SHEET_FAILED: Final = 8
_MARKER: Final = ".hangtag-demo"


def run_demo(
    out: Path, photos: int, seed: int, *, queued: bool, new_photos: int = NEW_PHOTOS, epochs: int = EPOCHS
) -> None:
    """Draw photos, train, export, label photos the model has never seen, and leave a picture and a page.

    What all photos show is in ``products.csv`` and ``new-products.csv``.

    ``photos`` are drawn for training, ``new_photos`` for labelling: with ``queued`` by Celery workers fed from a
    private Redis, else in this command's own processes. InputError where ``out`` holds what no demo made.
    """
    console = Console()
    with console.status("Loading TensorFlow"):
        load_tensorflow()
    _make_room(out)
    console.rule("1. Draw a catalogue")
    _draw(console, out / "photos", out / "products.csv", photos, seed)
    _draw(console, out / "new-photos", out / "new-products.csv", new_photos, seed + 1)
    console.rule("2. Look at it before learning from it")
    check_and_show(out / "photos", out / "check", None, strict=False, as_json=False)
    console.rule("3. Train")
    run, bundle = out / "runs" / "demo", out / "bundles" / "demo"
    if train_and_show(_request(out / "photos", run, seed, epochs)):
        msg = "The demo was stopped; hangtag demo starts it again."
        raise StoppedError(msg)
    console.rule("4. Export and prove")
    export_and_show(run, bundle, ExportOptions(int8=True, effort=BRIEF), as_json=False)
    console.rule("5. Label photos it has never seen")
    if queued:
        job, output = _label_on_a_queue(console, out, bundle)
    else:
        output = out / "labels.parquet"
        request = LabelRequest(source=out / "new-photos", model=bundle, output=output, options=JobOptions())
        label_with_progress(request, as_json=False)
        job = earlier_job(output)
    receipt = finished_receipt(job)
    if receipt is None:
        msg = f"Expected the job in {job.storage.place} to be finished, it is not; hangtag demo starts again."
        raise JobError(msg)
    sheet, page = out / "contact_sheet.png", out / "index.html"
    photos_shown = _sheet_photos(output, receipt, out / "new-photos")
    draw_contact_sheet(photos_shown, sheet)
    pictures = {
        "How the training went": run / "results.png",
        "Truth against guess, on the test photos": run / "confusion_matrix.png",
    }
    replace_file(page, receipt_page(receipt, pictures, photos_shown).encode())
    console.rule("Look at")
    console.print(f"  {sheet}\n  {page}\n  {out / 'check' / 'check.html'}\n  {output}", highlight=False, markup=False)
    called = f"new-photos --jobs {shlex.quote(str(out / 'jobs'))}" if queued else shlex.quote(str(output))
    console.say(f"Review the doubtful rows in your browser with: {command()} review {called}")


def command() -> str:
    """How to call this program in the same shell: by its path, where its environment is not activated."""
    return "hangtag" if shutil.which("hangtag") else shlex.quote(str(Path(sys.executable).with_name("hangtag")))


def _request(photos: Path, run: Path, seed: int, epochs: int) -> TrainRequest:
    return TrainRequest(
        data=photos,
        run=run,
        arch=Arch.CNN,
        preprocess=PreprocessSpec(size=IMAGE_SIZE),
        epochs=epochs,
        batch=32,
        patience=epochs,
        cv=0,
        seed=seed,
        cache=default_cache(),
    )


def _label_on_a_queue(console: Console, out: Path, bundle: Path) -> tuple[Job, Path]:
    from worker.queue.actions import submit_and_show, watch_job
    from worker.queue.private_redis import private_queue
    from worker.request import SubmitRequest

    jobs = out / "jobs"
    with private_queue(out / "queue", jobs, workers=2) as settings:
        workers = f"Redis at {settings.redis_url}, two workers; their logs are in {out / 'queue'}"
        console.print(workers, highlight=False, markup=False)
        request = SubmitRequest(source=out / "new-photos", model=bundle, options=JobOptions(), name="new-photos")
        submit_and_show(request, settings, as_json=False)
        watch_job("new-photos", settings)
    return Jobs(FolderStorage(jobs)).find("new-photos"), jobs / "new-photos" / RESULT_FILE


def _make_room(out: Path) -> None:
    if out.exists():
        if any(out.iterdir()) and not (out / _MARKER).exists():
            msg = f"{out} holds files that no demo made; pass another --out."
            raise InputError(msg)
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()


def _draw(console: Console, folder: Path, table: Path, count: int, seed: int) -> None:
    columns = (TextColumn(f"Drawing {folder.name}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("draw", total=count)
        advance: Callable[[], None] = lambda: progress.advance(task)  # noqa: E731
        draw_catalogue(folder, count, seed, advance, table)


def _sheet_photos(labels: Path, receipt: Receipt, root: Path) -> list[LabelledPhoto]:
    """Evenly spread rows of a result, and some failed ones at the end; why rows go to review is in ``review.csv``."""
    with Path(receipt.review_file or "").open(encoding="utf-8", newline="") as file:
        reasons = {row["image"]: ReviewReason(row["reason"]) for row in csv.DictReader(file)}
    rows = pq.read_table(labels, columns=["image", "label", "confidence", "status", "error"]).to_pylist()
    failed = [row for row in rows if row["status"] == Status.FAILED][:SHEET_FAILED]
    others = [row for row in rows if row["status"] != Status.FAILED]
    room = SHEET_PHOTOS - len(failed)
    spread = [others[i * len(others) // room] for i in range(room)] if len(others) > room else others
    told = ({**row, "status": Status(row["status"]), "reason": reasons.get(row["image"])} for row in [*spread, *failed])
    shown = (SampleRow(**row) for row in told)
    return [sheet_photo(row, {row.image or "": root / (row.image or "")}) for row in shown]
