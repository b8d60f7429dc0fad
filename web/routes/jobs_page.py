"""The jobs: a table of all, one job, and what starts, stops and downloads them."""

import json
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from catalogue.photo import FAULTS
from models.errors import HangtagError, ImageFault, InputError, RegistryError
from models.reference import models_given
from models.registry.registry import open_registry
from models.storage.storage import Storage
from models.text import number_of
from pages.render import render
from trainer.corrections.apply import CORRECTED_FILE, Labels, apply_to_job, copy_of
from web.catalogues import ENCODINGS, form_words, in_words_of_the_form, look_into
from web.jobs import WebJob
from web.problems import Problem
from web.run_jobs import WantedJob
from web.state import State, WebState
from web.views import page, stored_page
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
_LONGEST: Final = 200_000


def _job(id: str, state: State) -> WebJob:
    return state.jobs.find(id)


Found = Annotated[WebJob, Depends(_job)]
"""The job that an address names; in a thread, since a disk is asked."""


@router.get("/jobs")
def jobs_page(request: Request, state: State) -> HTMLResponse:
    """All jobs, and the form for a new one."""
    views, wrong = state.board.look()
    shown = page(
        request,
        "web/jobs.html",
        views=views,
        wrong=wrong,
        summary=_summary(views),
        models=_models(state, views),
        chosen=state.settings.model,
        precisions=PRECISIONS,
        priorities=list(Priority) if state.runner.queued else [],
        places=state.runner.places,
    )
    return HTMLResponse(shown)


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
                html = render("web/jobs_row.html", view=view, root=state.settings.root_path)
                kept[view.found.id] = (view, html)
        return {view.found.id: kept[view.found.id][1] for view in views}, _summary(views)

    return read


def _summary(views: list[JobView]) -> str:
    states = [view.state.value for view in views]
    counts = [f"{states.count(name):,} {name}" for name in dict.fromkeys(states)]
    left = sum(view.left for view in views)
    return " · ".join([*counts, *([number_of(left, "row") + " to review"] if left else [])])


def _models(state: WebState, views: list[JobView]) -> dict[str, str]:
    """What a job may be labelled with → what a person reads: of the registry first, then the paths of earlier jobs."""
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


@router.post("/jobs/_preview")
def preview(
    request: Request,
    state: State,
    source: Annotated[str, Form(max_length=8000)] = "",
    urls: Annotated[str, Form(max_length=_LONGEST)] = "",
    upload: Annotated[str, Form(max_length=64)] = "",
    image_column: Annotated[str, Form(max_length=1000)] = "",
    image_root: Annotated[str, Form(max_length=8000)] = "",
    encoding: Annotated[str, Form(max_length=100)] = "",
    instead: Annotated[str, Form(max_length=64)] = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> HTMLResponse:
    """The first rows of a catalogue: which columns it has, which of them names the photo, and some photos.

    ``instead`` is a file that was sent earlier and is not needed any more.
    """
    runner = state.runner
    runner.uploads.forget(instead)
    if file and file.filename:
        upload = runner.uploads.keep(file.filename, iter(lambda: file.file.read(_PIECE), b""))
    elif urls.strip():
        upload = runner.uploads.keep("pasted.txt", [urls.strip().replace("\r", "").encode() + b"\n"])
    sent = runner.uploads.path(upload) if upload else None
    place = str(sent or runner.places.checked(source.strip(), "the catalogue"))
    try:
        with in_words_of_the_form(sent):
            root = runner.places.checked(image_root.strip(), "the image root") if image_root.strip() else None
            seen = look_into(place, image_column or None, root, encoding or None, state.settings.allow_hosts)
    except HangtagError:
        runner.uploads.forget(upload)
        raise
    shown = page(
        request,
        "web/jobs_preview.html",
        seen=seen,
        refused=form_words(seen.refused, sent),
        upload=upload,
        name=Path(place).name,
        encodings={} if place.lower().endswith(".parquet") or Path(place).is_dir() else ENCODINGS,
        encoding=encoding,
        no_root=sent is not None and root is None,
    )
    return HTMLResponse(shown)


@router.post("/jobs/_start")
def start(
    state: State,
    model: Annotated[str, Form(max_length=4096)] = "",
    models: Annotated[str, Form(max_length=4096)] = "",
    source: Annotated[str, Form(max_length=8000)] = "",
    upload: Annotated[str, Form(max_length=64)] = "",
    name: Annotated[str, Form(max_length=200)] = "",
    image_column: Annotated[str, Form(max_length=1000)] = "",
    image_root: Annotated[str, Form(max_length=8000)] = "",
    group_column: Annotated[str, Form(max_length=1000)] = "",
    encoding: Annotated[str, Form(max_length=100)] = "",
    precision: Annotated[str, Form(max_length=8)] = "",
    priority: Annotated[Priority, Form()] = Priority.NORMAL,
) -> JSONResponse:
    """Make a job, and say where it is shown. ``models``: several with their names, one a line, instead of one."""
    lines = [line.strip() for line in models.splitlines() if line.strip()]
    if not lines and not model.strip():
        msg = "Expected a model, or several with a name each; fill in one of the two fields."
        raise InputError(msg)
    named = models_given(lines) if lines else None
    wanted = WantedJob(
        source=source.strip(),
        model=named if isinstance(named, dict) else str(named or model.strip()),
        upload=upload or None,
        name=name.strip() or None,
        image_column=image_column or None,
        image_root=image_root.strip() or None,
        group_column=group_column or None,
        encoding=encoding or None,
        precision=float(precision) if precision in map(str, PRECISIONS) else None,
        priority=priority,
    )
    with in_words_of_the_form(state.runner.uploads.path(upload) if upload else None):
        found = state.runner.start_job(wanted)
    state.runner.uploads.forget(upload)
    return JSONResponse({"id": found.id}, 201)


@router.get("/jobs/{id}")
def job_page(request: Request, state: State, id: str) -> HTMLResponse:
    """One job."""
    view = state.board.view(id)
    return HTMLResponse(page(request, "web/job.html", files=_files(view), **_given(state, view)))


def _files(view: JobView) -> dict[str, str]:
    """What can be downloaded of a finished job → what a person reads."""
    receipt = view.receipt
    if not view.is_finished:
        return {}
    lists = {
        "review": receipt and receipt.review_file and "Rows to review",
        "by_group": receipt and receipt.groups_file and "Products",
    }
    there = {what: words for what, words in lists.items() if words}
    corrected = {"corrected": "Corrected result"} if _is_corrected(view.found) else {}
    return {"result": "Result", **corrected, **there, "receipt": "Receipt (JSON)", "page": "Receipt (HTML)"}


def _is_corrected(found: WebJob) -> bool:
    return copy_of(found.result).is_file() if found.result else found.job.home.exists(CORRECTED_FILE)


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
    """The parts of a job's page that change while it is labelled."""
    given = _given(state, view)
    return {name: render(f"web/job_{name}.html", root=state.settings.root_path, **given) for name in _REGIONS}


def _given(state: WebState, view: JobView) -> dict[str, object]:
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
    """Write the corrected copy, and say what became of the rows."""
    whole = found.whole
    done = apply_to_job(Labels(whole.job, whole.result), state.reviews.store_of(whole.job))
    counts = {"changed": done.changed, "confirmed": done.confirmed, "with a remark": done.remarked}
    said = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count) or "no row has an answer yet"
    left = f"; {number_of(done.left, 'row')} still to review" if done.left else ""
    return JSONResponse({"said": f"The corrected result is written: {said}{left}."})


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


@router.get("/jobs/{id}/files/{what}")
def download(found: Found, what: str) -> Response:
    """A file of a finished job."""
    if what == "result" and found.result:
        return _sent(found.result, f"{found.result.name}")
    if what == "corrected" and found.result:
        return _sent(copy_of(found.result), copy_of(found.result).name)
    key = _FILES.get(what)
    if key is None:
        raise Problem(404, f"Expected one of {', '.join(_FILES)}, got {what[:40]}.")
    name = f"{found.id}-{key}"
    storage = found.job.home if what in _OF_ALL else found.job.storage
    folder = storage.on_disk("")
    if folder is not None:
        return _sent(folder / key, name)
    if not storage.exists(key):
        raise _no_file(key)
    head = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_pieces(storage, key), media_type=_media_type(name), headers=head)


def _sent(path: Path, name: str) -> Response:
    if not path.is_file():
        raise _no_file(name)
    return FileResponse(path, filename=name, media_type=_media_type(name))


def _pieces(storage: Storage, key: str) -> Iterator[bytes]:
    """A file in S3, a piece at a time."""
    source = storage.source(key)
    with source.open("rb") if isinstance(source, Path) else source as file:
        yield from iter(lambda: file.read(_PIECE), b"")


def _media_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _no_file(name: str) -> Problem:
    return Problem(404, f"Expected the file {name[:100]}, it is not there yet; wait for the job's end.")
