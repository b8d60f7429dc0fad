"""``hangtag demo``: the whole path, on a catalogue that Hangtag draws itself."""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.rule import Rule

from exporter.console import export_and_show
from exporter.load_tensorflow import load_tensorflow
from exporter.options import ExportOptions
from models.benchmark.measure import BRIEF
from models.decision import ReviewReason
from models.errors import InputError, StoppedError
from models.fit import Fit
from models.storage.storage import FolderStorage
from models.terminal import Console
from models.whole_file import replace_file
from pages.contact_sheet import draw_contact_sheet
from pages.links import add_links, near
from pages.render import render
from pages.tiles import LabelledPhoto, PagePhoto, data_uri, failed_last
from trainer.check.screen import check_and_show
from trainer.console import train_and_show
from trainer.options import TrainRequest
from trainer.request import Arch, TableOptions
from trainer.sample.catalogue import draw_catalogue
from worker.console import label_with_progress
from worker.job.job import QUESTIONS, Job
from worker.job.jobs import Jobs
from worker.job.parts import Status
from worker.job.receipt import SampleRow
from worker.job.spec import JobOptions
from worker.label import earlier_job
from worker.request import LabelRequest
from worker.results.finish import PAGE_FILE, RESULT_FILE, sheet_photo

NEW_PHOTOS: Final = 300
IMAGE_SIZE: Final = 64
COLOUR_SIZE: Final = 32
EPOCHS: Final = 25
SHEET_PHOTOS: Final = 48
SHEET_FAILED: Final = 8
_MARKER: Final = ".hangtag-demo"
_LINE: Final = 80
_INDEX: Final = "index.html"
"""The last of a demo's files."""


def run_demo(
    out: Path,
    photos: int,
    seed: int,
    *,
    queued: bool,
    restart: bool = False,
    new_photos: int = NEW_PHOTOS,
    epochs: int = EPOCHS,
) -> None:
    """Draw photos, train two models, export them, label photos they have never seen in one pass, and leave pages.

    One model says what a photo shows, the other which colour that is; only the first is tried in int8. The truth
    is in ``products.csv`` and ``new-products.csv``.

    ``photos`` are drawn for training, ``new_photos`` for labelling: with ``queued`` by Celery workers fed from a
    private Redis, else in this command's own processes. InputError where ``out`` holds what no demo made, or, without
    ``restart``, a finished demo.
    """
    console = Console()
    _make_room(out, restart=restart)
    with console.status("Loading TensorFlow"):
        load_tensorflow()
    show_heading(console, "1. Draw a catalogue")
    _draw(console, out / "photos", out / "products.csv", photos, seed)
    _draw(console, out / "new-photos", out / "new-products.csv", new_photos, seed + 1)
    show_heading(console, "2. Look at it before learning from it")
    check_and_show(out / "photos", out / "check", None, strict=False, as_json=False)
    runs = {name: out / "runs" / name for name in ("category", "colour")}
    show_heading(console, "3. Train, from folders: what does a photo show?")
    _train(_request(out / "photos", seed, epochs, IMAGE_SIZE), runs["category"])
    show_heading(console, "4. Train, from a column of a table: which colour is it?")
    colours = _request(out / "products.csv", seed, epochs, COLOUR_SIZE)
    _train(colours.model_copy(update={"table": TableOptions(label_column="colour")}), runs["colour"])
    show_heading(console, "5. Export and prove")
    bundles = {name: out / "bundles" / name for name in runs}
    thorough = {"category": ExportOptions(int8=True, effort=BRIEF)}
    for name, run in runs.items():
        export_and_show(run, bundles[name], thorough.get(name, ExportOptions()), as_json=False)
    show_heading(console, "6. Label photos they have never seen, both in one pass")
    if queued:
        job, output = _label_on_a_queue(console, out, bundles)
    else:
        output = out / "labels.parquet"
        request = LabelRequest(source=out / "new-photos", model=bundles, output=output, options=JobOptions())
        label_with_progress(request, as_json=False)
        job = earlier_job(output)
    shown = _sheet_photos(job, output, out / "new-photos")
    sheet, page = out / "contact_sheet.png", out / _INDEX
    draw_contact_sheet(shown, sheet)
    matrices = {f"{name}: truth against guess": run / "confusion_matrix.png" for name, run in runs.items()}
    called = f"new-photos --jobs {shlex.quote(str(out / 'jobs'))}" if queued else shlex.quote(str(output))
    review = f"{command()} review {called}"
    replace_file(page, demo_page(page, _steps(out, job, output), review, matrices, shown).encode())
    _link_pages(page, runs, bundles, Path(job.storage.place))
    show_heading(console, "Look at")
    console.print(f"  {page}\n  {sheet}\n  {output}", highlight=False, markup=False)
    console.say(f"Review the doubtful rows in your browser with: {review}")


def show_heading(console: Console, title: str) -> None:
    """A heading across the terminal; in a file no longer than a line."""
    console.print(Rule(title), width=min(console.width, _LINE))


def demo_page(
    page: Path,
    steps: Mapping[str, Mapping[str, Path]],
    review: str,
    pictures: Mapping[str, Path],
    photos: Sequence[LabelledPhoto],
) -> str:
    """The page to begin with, an index of the others: it links to what is there.

    ``steps``: step → words → a file; ``review``: the command; ``pictures``: what it shows → a PNG.
    """
    return render(
        "demo.html",
        steps={step: near(page, files) for step, files in steps.items()},
        review=review,
        pictures={words: data_uri(path.read_bytes(), "png") for words, path in pictures.items()},
        photos=failed_last(photos),
    )


def _steps(out: Path, job: Job, output: Path) -> dict[str, dict[str, Path]]:
    names = [question.name for question in job.questions]
    return {
        "Photos": {
            "Labelled photos": out / "photos",
            "what they show (CSV)": out / "products.csv",
            "new photos": out / "new-photos",
            "what those show (CSV)": out / "new-products.csv",
        },
        "Check": {"What was wrong with the labelled photos": out / "check" / "check.html"},
        "Train": {f"How good the model of {name} is": out / "runs" / name / "report.html" for name in names},
        "Export": {f"The card of the bundle of {name}": out / "bundles" / name / "README.md" for name in names},
        "Label": {
            "The receipt: what was labelled, and what is promised": Path(job.storage.place) / PAGE_FILE,
            **{f"of {question.name}": Path(question.storage.place) / PAGE_FILE for question in job.questions},
            "the result": output,
            "contact sheet": out / "contact_sheet.png",
        },
    }


def _link_pages(index: Path, runs: Mapping[str, Path], bundles: Mapping[str, Path], job: Path) -> None:
    """Link the pages to each other, now that all of them are there."""
    out = index.parent
    reports = {f"Model of {name}": run / "report.html" for name, run in runs.items()}
    pages = {"Index": index, "Check": out / "check" / "check.html", **reports, "Receipt": job / PAGE_FILE}
    for name, page in [*pages.items(), *((name, job / QUESTIONS / name / PAGE_FILE) for name in runs)]:
        others = {words: other for words, other in pages.items() if words != name}
        card = {"Bundle": bundles[page.parent.name] / "README.md"} if page in reports.values() else {}
        add_links(page, others | card)


def _train(request: TrainRequest, run: Path) -> None:
    if train_and_show(request, run):
        msg = "The demo was stopped; hangtag demo starts it again."
        raise StoppedError(msg)


def command() -> str:
    """How to call this program in the same shell: by its path, where its environment is not activated."""
    return "hangtag" if shutil.which("hangtag") else shlex.quote(str(Path(sys.executable).with_name("hangtag")))


def _request(photos: Path, seed: int, epochs: int, size: int) -> TrainRequest:
    return TrainRequest(
        data=photos, arch=Arch.CNN, image_size=size, fit=Fit.PAD, epochs=epochs, batch=32, folds=2, seed=seed
    )


def _label_on_a_queue(console: Console, out: Path, bundles: Mapping[str, Path]) -> tuple[Job, Path]:
    from worker.queue.actions import submit_and_show, watch_job
    from worker.queue.private_redis import private_queue
    from worker.request import SubmitRequest

    jobs = out / "jobs"
    with private_queue(out / "queue", jobs, workers=2) as settings:
        workers = f"Redis at {settings.redis_url}, two workers; their logs are in {out / 'queue'}"
        console.print(workers, highlight=False, markup=False)
        request = SubmitRequest(source=out / "new-photos", model=bundles, options=JobOptions(), name="new-photos")
        submit_and_show(request, settings, as_json=False)
        watch_job("new-photos", settings)
    return Jobs(FolderStorage(jobs)).find("new-photos"), jobs / "new-photos" / RESULT_FILE


def _make_room(out: Path, *, restart: bool) -> None:
    if out.exists():
        if any(out.iterdir()) and not (out / _MARKER).exists():
            msg = f"{out} holds files that no demo made; pass another --out."
            raise InputError(msg)
        if (out / _INDEX).exists() and not restart:
            msg = (
                f"A demo is in {out} already: open {out / _INDEX}. Add --restart to replace it, or pass another --out."
            )
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


def _sheet_photos(job: Job, labels: Path, root: Path) -> list[LabelledPhoto]:
    """Evenly spread rows of a result, and some failed ones at the end."""
    names = [question.name for question in job.questions]
    rows = pq.read_table(labels).to_pylist()
    failed = [row for row in rows if row["status"] == Status.FAILED][:SHEET_FAILED]
    others = [row for row in rows if row["status"] != Status.FAILED]
    room = SHEET_PHOTOS - len(failed)
    spread = [others[i * len(others) // room] for i in range(room)] if len(others) > room else others
    shown = (
        SampleRow(
            image=row["image"],
            status=Status(row["status"]),
            label=", ".join(filter(None, (row[f"{name}_label"] for name in names))),
            confidence=min((row[f"{name}_confidence"] or 0.0 for name in names), default=0.0),
            error=next(filter(None, (row[f"{name}_error"] for name in names)), None),
            reason=next((ReviewReason(why) for name in names if (why := row[f"{name}_reason"])), None),
        )
        for row in [*spread, *failed]
    )
    return [sheet_photo(row, {row.image or "": PagePhoto(root / (row.image or ""))}) for row in shown]
