"""``hangtag demo``: from synthetic photos to labels, through the public Python functions."""

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.rule import Rule

from hangtag.python import ExportedBundle, check, export, label, train
from models.decision import ReviewReason
from models.errors import InputError
from models.terminal import Console
from models.whole_file import replace_file
from pages.render import near, render
from pages.tiles import LabelledPhoto, PagePhoto, data_uri, failed_last
from trainer.sample.catalogue import draw_catalogue

NEW_PHOTOS: Final = 300
_SEED: Final = 7
EPOCHS: Final = 16
_MODELS: Final = ("category", "colour")
_SHOWN: Final = 48
_SHOWN_FAILED: Final = 8
_MARKER: Final = ".hangtag-demo"
_INDEX: Final = "index.html"
"""The file that the demo writes last."""


def run_demo(
    out: Path,
    photos: int,
    *,
    queued: bool,
    restart: bool = False,
    new_photos: int = NEW_PHOTOS,
    epochs: int = EPOCHS,
) -> None:
    """Render synthetic photos, train and export two models, label new photos with both, and write pages.

    The first model predicts the product, the second its colour. Only the first model is exported in int8. The true
    labels are in ``products.csv`` and ``new-products.csv``.
    """
    console = Console()
    _make_room(out, restart=restart)
    show_heading(console, "1. Make a catalogue of synthetic photos")
    _draw(console, out / "photos", out / "products.csv", photos, _SEED)
    _draw(console, out / "new-photos", out / "new-products.csv", new_photos, _SEED + 1)
    show_heading(console, "2. Check the photos before training")
    check(out / "photos", out=out / "check")
    options: dict[str, Any] = {"out": out / "runs", "seed": _SEED}
    show_heading(console, "3. Train on folders: which product does a photo show?")
    train(out / "photos", name="category", preset="quick", image_size=96, **options)
    show_heading(console, "4. Train on a column of a table: which colour is the product?")
    # ImageNet's features recognise shapes; a small network suffices for colours.
    small: dict[str, Any] = {"arch": "cnn", "image_size": 32, "epochs": epochs, "folds": 0}
    train(out / "products.csv", name="colour", label_column="colour", **small, **options)
    show_heading(console, "5. Export and prove")
    bundles = {
        name: export(out / "runs" / name, out=out / "bundles" / name, int8=name == "category") for name in _MODELS
    }
    show_heading(console, "6. Label new photos with both models in one pass")
    if queued:
        result, receipt = _label_on_a_queue(console, out, bundles)
        review = f"{command()} review new-photos --jobs {shlex.quote(str(out / 'jobs'))}"
    else:
        labels = label(out / "new-photos", bundles, out / "labels.parquet")
        result, receipt = labels.path, labels.page
        review = f"{command()} review {shlex.quote(str(result))}"
    _write_index(out, result, receipt, review)
    show_heading(console, "Look at")
    console.print(f"  {out / _INDEX}\n  {result}", highlight=False, markup=False)
    console.say(f"Review the unsure rows in your browser with: {review}")


def _make_room(out: Path, *, restart: bool) -> None:
    if out.exists():
        if any(out.iterdir()) and not (out / _MARKER).exists():
            msg = f"{out} has files that are not from a demo; pass another --out."
            raise InputError(msg)
        if (out / _INDEX).exists() and not restart:
            msg = (
                f"A demo is in {out} already: open {out / _INDEX}. Add --restart to replace it, or pass another --out."
            )
            raise InputError(msg)
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()


def show_heading(console: Console, title: str) -> None:
    """Print a heading in a line as wide as the terminal, but at most 80 characters."""
    console.print(Rule(title), width=min(console.width, 80))


def command() -> str:
    """The command that starts Hangtag in this shell: ``hangtag``, or a full path if ``PATH`` lacks the program."""
    return "hangtag" if shutil.which("hangtag") else shlex.quote(str(Path(sys.executable).with_name("hangtag")))


def _draw(console: Console, folder: Path, table: Path, count: int, seed: int) -> None:
    columns = (TextColumn(f"Drawing {folder.name}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("draw", total=count)
        draw_catalogue(folder, count, seed, lambda: progress.advance(task), table)


def _label_on_a_queue(console: Console, out: Path, bundles: Mapping[str, ExportedBundle]) -> tuple[Path, Path]:
    from worker.queue.console import submit_job, watch_job
    from worker.queue.private_redis import private_queue
    from worker.request import JobOptions, SubmitRequest

    job, models = out / "jobs" / "new-photos", {name: bundle.path for name, bundle in bundles.items()}
    with private_queue(out / "queue", job.parent, workers=2) as settings:
        console.say(f"Redis at {settings.redis_url}, two workers; their logs are in {out / 'queue'}")
        request = SubmitRequest(source=out / "new-photos", model=models, options=JobOptions(), name=job.name)
        submit_job(request, settings, as_json=False)
        watch_job(job.name, settings)
    return job / "labels.parquet", job / "receipt.html"


def _write_index(out: Path, result: Path, receipt: Path, review: str) -> None:
    page = out / _INDEX
    steps = {
        "Photos": {
            "Labelled photos": out / "photos",
            "their true labels (CSV)": out / "products.csv",
            "new photos": out / "new-photos",
            "true labels of the new photos (CSV)": out / "new-products.csv",
        },
        "Check": {"Faults of the labelled photos": out / "check" / "check.html"},
        "Train": {f"How good the model of {name} is": out / "runs" / name / "report.html" for name in _MODELS},
        "Export": {f"The model card of {name}": out / "bundles" / name / "README.md" for name in _MODELS},
        "Label": {
            "The receipt: counts, and the promised precision": receipt,
            **{f"of {name}": _own_receipt(receipt, name) for name in _MODELS},
            "the result": result,
        },
    }
    matrices = {f"{name}: truth against guess": out / "runs" / name / "confusion_matrix.png" for name in _MODELS}
    html = render(
        "demo.html",
        steps={step: near(page, files) for step, files in steps.items()},
        review=review,
        pictures={title: data_uri(path.read_bytes(), "png") for title, path in matrices.items()},
        photos=_photos(result, out / "new-photos"),
    )
    replace_file(page, html.encode())


def _own_receipt(receipt: Path, name: str) -> Path:
    from worker.job.job import QUESTIONS

    return receipt.parent / QUESTIONS / name / receipt.name


def _photos(result: Path, root: Path) -> list[LabelledPhoto]:
    import pyarrow.parquet as pq

    rows = pq.read_table(result).to_pylist()
    failed = [row for row in rows if row["status"] == "failed"][:_SHOWN_FAILED]
    others = [row for row in rows if row["status"] != "failed"]
    room = min(_SHOWN - len(failed), len(others))
    spread = [others[place * len(others) // room] for place in range(room)]
    return failed_last([_photo(row, root) for row in (*spread, *failed)])


def _photo(row: Mapping[str, Any], root: Path) -> LabelledPhoto:
    def cells(column: str) -> Sequence[Any]:
        return [row[f"{name}_{column}"] for name in _MODELS if row[f"{name}_{column}"] is not None]

    if row["status"] == "failed":
        return LabelledPhoto(None, "failed", row["image"], f"failed: {cells('error')[0]}")
    sure, reasons = min(cells("confidence")), [ReviewReason(reason).words for reason in cells("reason")]
    photo = PagePhoto.of(root / row["image"])
    return LabelledPhoto(photo, row["status"], ", ".join(cells("label")), f"{row['status']} {sure:.1%}", *reasons[:1])
