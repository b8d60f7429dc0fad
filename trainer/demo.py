"""``hangtag demo``: the whole path, on a catalogue that Hangtag draws itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from exporter.console import export_and_show
from exporter.load_tensorflow import load_tensorflow
from models.errors import InputError, StoppedError
from models.whole_file import replace_file
from trainer.arch import Arch
from trainer.console import train_and_show
from trainer.sample import draw_catalogue
from worker.console import label_with_progress
from worker.contact_sheet import SheetPhoto, draw_contact_sheet
from worker.job import JobOptions
from worker.label import LabelRequest
from worker.receipt_page import PagePicture, receipt_page
from worker.results import Status

__all__ = ["run_demo"]

NEW_PHOTOS: Final = 300
IMAGE_SIZE: Final = 64
EPOCHS: Final = 36
SHEET_PHOTOS: Final = 48
SHEET_FAILED: Final = 8
_MARKER: Final = ".hangtag-demo"


def run_demo(out: Path, photos: int, seed: int) -> None:
    """Draw photos, train, export, label photos the model has never seen, and leave a picture and a page.

    Raises:
        InputError: ``out`` holds something that no demo made.
    """
    console = Console()
    with console.status("Loading TensorFlow"):
        load_tensorflow()
    _make_room(out)
    console.rule("1. Draw a catalogue")
    _draw(console, out / "photos", photos, seed)
    _draw(console, out / "new-photos", NEW_PHOTOS, seed + 1)
    console.rule("2. Train")
    run, bundle = out / "runs" / "demo", out / "bundles" / "demo"
    if train_and_show(
        out / "photos", run, arch=Arch.CNN, size=IMAGE_SIZE, epochs=EPOCHS, batch=32, patience=EPOCHS, seed=seed
    ):
        msg = "The demo was stopped; hangtag demo starts it anew."
        raise StoppedError(msg)
    console.rule("3. Export and prove")
    export_and_show(run, bundle, as_json=False)
    console.rule("4. Label photos it has never seen")
    output = out / "labels.parquet"
    receipt = label_with_progress(
        LabelRequest(source=out / "new-photos", model=bundle, output=output, options=JobOptions()), as_json=False
    )
    sheet, page = out / "contact_sheet.png", out / "index.html"
    draw_contact_sheet(_sheet_photos(output, out / "new-photos"), sheet)
    pictures = [
        PagePicture("Some of the new photos, with their labels", sheet),
        PagePicture("How the training went", run / "results.png"),
        PagePicture("Truth against guess, on the test photos", run / "confusion_matrix.png"),
    ]
    replace_file(page, receipt_page(receipt, pictures).encode())
    console.rule("Look at")
    console.print(f"  {sheet}\n  {page}\n  {output}", highlight=False)


def _make_room(out: Path) -> None:
    if out.exists():
        if any(out.iterdir()) and not (out / _MARKER).exists():
            msg = f"{out} holds something that no demo made; pass another --out."
            raise InputError(msg)
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()


def _draw(console: Console, folder: Path, count: int, seed: int) -> None:
    columns = (TextColumn(f"Drawing {folder.name}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("draw", total=count)
        advance: Callable[[], None] = lambda: progress.advance(task)  # noqa: E731
        draw_catalogue(folder, count, seed, advance)


def _sheet_photos(labels: Path, root: Path) -> list[SheetPhoto]:
    """Evenly spread rows of a result, and some failed ones at the end."""
    rows = pq.read_table(labels, columns=["image", "label", "confidence", "status", "error"]).to_pylist()
    failed = [row for row in rows if row["status"] == Status.FAILED][:SHEET_FAILED]
    others = [row for row in rows if row["status"] != Status.FAILED]
    room = SHEET_PHOTOS - len(failed)
    spread = [others[i * len(others) // room] for i in range(room)] if len(others) > room else others
    return [_sheet_photo(row, root) for row in [*spread, *failed]]


def _sheet_photo(row: dict[str, str], root: Path) -> SheetPhoto:
    status = Status(row["status"])
    title = row["label"] or Path(row["image"]).name
    detail = row["error"] if status is Status.FAILED else f"{float(row['confidence']):.1%}"
    return SheetPhoto(root / row["image"], status, title, f"{status} {detail}")
