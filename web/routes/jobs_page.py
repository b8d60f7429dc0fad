"""The jobs: a table of all, the form for a new one, one job, and its files."""

import json
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalogue.photo import FAULTS
from models.errors import HangtagError, ImageFault, InputError, RegistryError
from models.registry.registry import open_registry
from models.storage.storage import Storage
from models.text import number_of
from pages.render import render
from trainer.corrections.apply import CORRECTED_FILE, Labels, apply_to_job, copy_of
from web.catalogues import ENCODINGS, form_words, in_words_of_the_form, preview
from web.jobs import WebJob
from web.responses import Problem, page, stored_page
from web.run_jobs import NewJob
from web.state import State, WebState
from web.watch_jobs import JobView
from worker.job.job import QUESTIONS
from worker.job.receipt import GROUPS_FILE, OF_QUESTIONS, PAGE_FILE, RECEIPT_FILE, REVIEW_FILE
from worker.request import Priority
from worker.results.finish import RESULT_FILE

router = APIRouter(include_in_schema=False)
PRECISIONS: Final = (0.90, 0.95, 0.97, 0.98, 0.99)
_PIECE: Final = 1 << 20
_FILES: Final = {
    "result": RESULT_FILE,
    "corrected": CORRECTED_FILE,
    "review": REVIEW_FILE,
    "by_group": GROUPS_FILE,
    "receipt": RECEIPT_FILE,
    "page": PAGE_FILE,
}
_OF_ALL: Final = ("result", "corrected")
"""Files that all questions of a job share."""
_FAULT_WORDS: Final = {fault.value: words for fault, words in FAULTS.items()}
_SEEN: Final = (ImageFault.UNREADABLE, ImageFault.TOO_LARGE)
"""Kinds of failed rows whose photos may be shown: they are there, and did not harm the process that decoded them."""
_REGIONS: Final = ("progress", "actions", "counts", "labels", "errors")


def _job(id: str, state: State) -> WebJob:
    return state.jobs.find(id)


Found = Annotated[WebJob, Depends(_job)]
"""The job that an address names; in a thread, since a disk is asked."""


@router.get("/jobs")
def jobs_page(request: Request, state: State) -> HTMLResponse:
    """All jobs, and the form for a new one."""
    views, damaged = state.board.look()
    return page(
        request,
        "web/jobs.html",
        views=views,
        damaged=damaged,
        summary=_summary(views),
        models=_models(state, views),
        chosen=state.settings.model,
        precisions=PRECISIONS,
        priorities=list(Priority) if state.runner.queued else [],
        places=state.runner.places,
    )


@router.get("/jobs/_events", response_class=EventSourceResponse)
async def table_events(state: State) -> AsyncIterator[ServerSentEvent]:
    """The rows of the table that change, and the whole of it when there are others."""
    order: list[str] = []
    sent: dict[str, str] = {}
    async for rows, summary in state.board.tables.listen("table", _rows(state)):
        if list(rows) != order:
            order = list(rows)
            yield ServerSentEvent(raw_data=json.dumps(list(rows.values())), event="table")
        else:
            changed = {id: html for id, html in rows.items() if sent.get(id) != html}
            if changed:
                yield ServerSentEvent(raw_data=json.dumps(changed), event="rows")
        if sent.get("") != summary:
            yield ServerSentEvent(raw_data=json.dumps(summary), event="summary")
        sent = {**rows, "": summary}


def _rows(state: WebState) -> Callable[[], tuple[dict[str, str], str]]:
    """Gives job → its row of the table, and the line above; only rows that have changed are rendered again."""
    kept: dict[str, tuple[JobView, str]] = {}

    def read() -> tuple[dict[str, str], str]:
        views, _ = state.board.look()
        for view in views:
            if view.found.id not in kept or kept[view.found.id][0] != view:
                html = render("web/jobs_row.html", view=view, root=state.settings.root)
                kept[view.found.id] = (view, html)
        return {view.found.id: kept[view.found.id][1] for view in views}, _summary(views)

    return read


def _summary(views: list[JobView]) -> str:
    states = [view.state.value for view in views]
    counts = [f"{states.count(name):,} {name}" for name in dict.fromkeys(states)]
    left = sum(view.left for view in views)
    return " · ".join([*counts, *([number_of(left, "row") + " to review"] if left else [])])


def _models(state: WebState, views: list[JobView]) -> dict[str, str]:
    found: dict[str, str] = {}
    known: set[Path] = set()
    with suppress(RegistryError, InputError, OSError):
        registry = open_registry(state.settings.registry)
        for name in registry.names():
            now = registry.state(name)
            found |= {f"{name}@{alias}": f"{name}@{alias} ({name}@{at})" for alias, at in sorted(now.aliases.items())}
            found |= {f"{name}@{version}": f"{name}@{version}" for version in sorted(now.versions, reverse=True)}
    jobs = (question for view in views for question in view.found.job.questions)
    paths = [state.settings.model, *(question.spec.model.path for question in jobs)]
    for path in dict.fromkeys(filter(None, paths)):
        with suppress(InputError, OSError):
            place = Path(path).resolve()
            if place.exists() and place not in known and state.runner.places.checked_model(path):
                found.setdefault(path, f"{place.name} ({path})")
                known.add(place)
    return found


class PreviewForm(BaseModel):
    """The fields of the form for a new job that a preview rests on.

    Attributes:
        upload: the token of a file that was sent before; ``instead``, of one that is not needed any more.
    """

    source: Annotated[str, StringConstraints(strip_whitespace=True, max_length=8000)] = ""
    urls: Annotated[str, Field(max_length=200_000)] = ""
    upload: Annotated[str, Field(max_length=64)] = ""
    instead: Annotated[str, Field(max_length=64)] = ""
    image_column: Annotated[str, Field(max_length=1000)] = ""
    image_root: Annotated[str, StringConstraints(strip_whitespace=True, max_length=8000)] = ""
    encoding: Annotated[str, Field(max_length=100)] = ""
    file: UploadFile | None = None


@router.post("/jobs/_preview")
def show_preview(request: Request, state: State, form: Annotated[PreviewForm, Form()]) -> HTMLResponse:
    """The first rows of a catalogue: its columns, the one with the photos, and some photos."""
    runner, file = state.runner, form.file
    runner.uploads.forget(form.instead)
    upload = form.upload
    if file and file.filename:
        upload = runner.uploads.keep(file.filename, iter(lambda: file.file.read(_PIECE), b""))
    elif form.urls.strip():
        upload = runner.uploads.keep("pasted.txt", [form.urls.strip().replace("\r", "").encode() + b"\n"])
    sent = runner.uploads.path(upload) if upload else None
    place = str(sent or runner.places.checked(form.source, "the catalogue"))
    root = form.image_root or None
    try:
        with in_words_of_the_form(sent):
            root = runner.places.checked(root, "the image root") if root else None
            shown = preview(
                place, form.image_column or None, root, form.encoding or None, state.settings.allow_host or ()
            )
    except HangtagError:
        runner.uploads.forget(upload)
        raise
    return page(
        request,
        "web/jobs_preview.html",
        preview=shown,
        refused=form_words(shown.refused, sent),
        upload=upload,
        name=Path(place).name,
        encodings={} if place.lower().endswith(".parquet") or Path(place).is_dir() else ENCODINGS,
        encoding=form.encoding,
        no_root=sent is not None and root is None,
    )


class StartForm(NewJob):
    """The form for a new job.

    Attributes:
        models: several with their names, one a line, instead of ``model``.
        upload: the token of the file that was sent, instead of ``source``.
    """

    model_config = ConfigDict(extra="ignore")

    models: Annotated[str, Field(max_length=4096)] = ""
    upload: Annotated[str, Field(max_length=64)] = ""


@router.post("/jobs/_start")
def start(state: State, form: Annotated[StartForm, Form()]) -> JSONResponse:
    """Make a job, and give its id."""
    model = [line.strip() for line in form.models.splitlines() if line.strip()] or form.model
    if not model:
        msg = "Expected a model, or several with a name each; fill in one of the two fields."
        raise InputError(msg)
    uploads = state.runner.uploads
    with in_words_of_the_form(uploads.path(form.upload) if form.upload else None):
        job = state.runner.start_job(form, model, form.upload or None)
    uploads.forget(form.upload)
    return JSONResponse({"id": job.id}, 201)


@router.get("/jobs/{id}")
def job_page(request: Request, state: State, id: str) -> HTMLResponse:
    """One job."""
    view = state.board.view(id)
    return page(request, "web/job.html", files=_files(view), **_values(state, view))


def _files(view: JobView) -> dict[str, str]:
    receipt = view.receipt
    if not view.is_finished:
        return {}
    lists = {
        "review": receipt and receipt.review_file and "Rows to review",
        "by_group": receipt and receipt.groups_file and "Products",
    }
    there = {file: words for file, words in lists.items() if words}
    job, result = view.found.job, view.found.result
    is_corrected = copy_of(result).is_file() if result else job.home.exists(CORRECTED_FILE)
    corrected = {"corrected": "Corrected result"} if is_corrected else {}
    return {"result": "Result", **corrected, **there, "receipt": "Receipt (JSON)", "page": "Receipt (HTML)"}


@router.get("/jobs/{id}/events", response_class=EventSourceResponse)
async def job_events(found: Found, state: State) -> AsyncIterator[ServerSentEvent]:
    """The parts of a job's page that change; ``end`` when nothing more happens by itself, or it cannot be read."""
    sent: dict[str, str] = {}

    def read() -> tuple[dict[str, str], bool]:
        try:
            view = state.board.view(found.id)
        except (HangtagError, OSError):  # such as a folder that was deleted: the page says so when it is loaded
            return {}, True
        return _regions(state, view), view.is_over

    async for regions, over in state.board.pages.listen(found.id, read):
        for name, html in regions.items():
            if sent.get(name) != html:
                yield ServerSentEvent(raw_data=json.dumps(html), event=name)
        sent = regions
        if over:
            yield ServerSentEvent(raw_data="{}", event="end")
            return


def _regions(state: WebState, view: JobView) -> dict[str, str]:
    values = _values(state, view)
    return {name: render(f"web/job_{name}.html", root=state.settings.root, **values) for name in _REGIONS}


def _values(state: WebState, view: JobView) -> dict[str, Any]:
    questions = view.found.questions or [view.found]
    corrections = any(state.reviews.store_of(one.job).path.is_file() for one in questions)
    return {
        "view": view,
        "faults": _FAULT_WORDS,
        "seen": _SEEN,
        "local": not state.runner.queued,
        "corrections": corrections,
        "of_questions": OF_QUESTIONS,
    }


@router.post("/jobs/{id}/apply")
def apply(found: Found, state: State) -> JSONResponse:
    """Write the corrected copy, and count its rows."""
    whole = found.whole
    done = apply_to_job(Labels(whole.job, whole.result), state.reviews.store_of(whole.job))
    counts = {"changed": done.changed, "confirmed": done.confirmed, "with a remark": done.remarked}
    rows = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count) or "no row has an answer yet"
    left = f"; {number_of(done.left, 'row')} still to review" if done.left else ""
    return JSONResponse({"message": f"The corrected result is written: {rows}{left}."})


@router.get("/jobs/{id}/receipt")
def receipt_page(found: Found) -> Response:
    """The stored page of the receipt, which may run nothing and load nothing."""
    try:
        html = found.job.storage.read(PAGE_FILE)
    except FileNotFoundError as error:
        raise Problem(404, f"{found.title} has no receipt yet; it is written when the job ends.") from error
    for question in found.questions:  # in the job's folder the links lead to files
        file, shown = f"{QUESTIONS}/{question.job.name}/{PAGE_FILE}", f"../{quote(question.id)}/receipt"
        html = html.replace(f'href="{file}"'.encode(), f'href="{shown}"'.encode())
    return stored_page(html)


@router.get("/jobs/{id}/files/{file}")
def download(found: Found, file: str) -> Response:
    """A file of a finished job."""
    key = _FILES.get(file)
    if key is None:
        raise Problem(404, f"Expected one of {', '.join(_FILES)}, got {file[:40]}.")
    if found.result and file in _OF_ALL:
        path = found.result if file == "result" else copy_of(found.result)
        return _file(path, path.name)
    name = f"{found.id}-{key}"
    storage = found.job.home if file in _OF_ALL else found.job.storage
    folder = storage.on_disk("")
    if folder is not None:
        return _file(folder / key, name)
    if not storage.exists(key):
        raise _no_file(key)
    head = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_pieces(storage, key), media_type=_media_type(name), headers=head)


def _file(path: Path, name: str) -> Response:
    if not path.is_file():
        raise _no_file(name)
    return FileResponse(path, filename=name, media_type=_media_type(name))


def _pieces(storage: Storage, key: str) -> Iterator[bytes]:
    source = storage.source(key)
    with source.open("rb") if isinstance(source, Path) else source as file:
        yield from iter(lambda: file.read(_PIECE), b"")


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _no_file(name: str) -> Problem:
    return Problem(404, f"Expected the file {name[:100]}, it is not there yet; wait for the job's end.")
