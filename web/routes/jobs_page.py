"""The pages of all jobs, of a new job, and of one job."""

import mimetypes
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from catalogue.photo import FAULTS
from models.errors import InputError, RegistryError
from models.registry.registry import open_registry
from models.storage.storage import Storage
from models.text import number_of, without_file_links
from trainer.corrections.apply import CORRECTED_FILE, Labels, apply_to_job, copy_of, groups_copy
from web.catalogues import ENCODINGS, drawn, preview, uploaded
from web.jobs import WebJob
from web.responses import Problem, page, stored_page
from web.state import State, WebState
from web.watch_jobs import JobView
from worker.job.job import QUESTIONS
from worker.job.receipt import PAGE_FILE, RECEIPT_FILE, REVIEW_FILE, QuestionsReceipt, corrected_name, groups_file
from worker.request import Priority
from worker.results.finish import RESULT_FILE

router = APIRouter(include_in_schema=False)
PRECISIONS: Final = (0.90, 0.95, 0.97, 0.98, 0.99)
_PIECE: Final = 1 << 20
_FILES: Final = {
    "result": RESULT_FILE,
    "corrected": CORRECTED_FILE,
    "review": REVIEW_FILE,
    "corrected_review": corrected_name(REVIEW_FILE),
    "receipt": RECEIPT_FILE,
    "page": PAGE_FILE,
}
_OF_ALL: Final = ("result", "corrected")
"""Files that all models of a job share."""
_FAULT_WORDS: Final = {fault.value: words for fault, words in FAULTS.items()}


def _job(id: str, state: State) -> WebJob:
    return state.jobs.find(id)


Found = Annotated[WebJob, Depends(_job)]
"""The job with the id in the path."""


@router.get("/jobs")
def jobs_page(request: Request, state: State) -> HTMLResponse:
    """All jobs, and the form for a new job."""
    views, damaged = state.board.look()
    return page(
        request,
        "web/jobs.html",
        views=views,
        damaged=damaged,
        summary=_summary(views),
        models=_models(state),
        chosen=state.settings.model,
        precisions=PRECISIONS,
        priorities=list(Priority) if state.runner.queued else [],
        places=state.runner.places,
    )


def _summary(views: list[JobView]) -> str:
    states = [view.state.value for view in views]
    counts = [f"{states.count(name):,} {name}" for name in dict.fromkeys(states)]
    left = sum(view.left for view in views)
    return " · ".join([*counts, *([number_of(left, "row") + " to review"] if left else [])])


def _models(state: WebState) -> dict[str, str]:
    found: dict[str, str] = {}
    with suppress(RegistryError, InputError, OSError):
        registry = open_registry(state.settings.registry)
        for name in registry.names():
            now = registry.state(name)
            found |= {f"{name}@{alias}": f"{name}@{alias} ({name}@{at})" for alias, at in sorted(now.aliases.items())}
            found |= {f"{name}@{version}": f"{name}@{version}" for version in sorted(now.versions, reverse=True)}
    own = state.settings.model
    if own and own not in found:
        found[own] = f"{Path(own).name} ({own})"
    return found


class PreviewForm(BaseModel):
    """The fields of the new-job form that change the preview."""

    source: Annotated[str, StringConstraints(strip_whitespace=True, max_length=8000)] = ""
    image_column: Annotated[str, Field(max_length=1000)] = ""
    image_root: Annotated[str, StringConstraints(strip_whitespace=True, max_length=8000)] = ""
    image_suffix: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] = ""
    encoding: Annotated[str, Field(max_length=100)] = ""
    catalogue: UploadFile | None = None


@router.post("/jobs/_preview")
async def show_preview(request: Request, state: State, form: Annotated[PreviewForm, Form()]) -> HTMLResponse:
    """The first rows of a catalogue: columns, image column, and some photos."""
    places, file = state.runner.places, form.catalogue
    root = places.checked(form.image_root, "the image root") if form.image_root else None
    hosts, suffix = state.settings.allow_host or (), form.image_suffix or None
    options = (form.image_column or None, root, form.encoding or None, hosts, suffix)
    with ExitStack() as files:  # always deletes the upload
        if file and file.filename:
            place = await run_in_threadpool(files.enter_context, uploaded(file.filename, file.file))
            source = str(place)
        else:
            source = places.checked(form.source, "the catalogue")
            place = Path(source)
        shown = await state.previews.call(preview, source, *options)
    shown = await drawn(shown, state.pictures.draw)
    return page(
        request,
        "web/jobs_preview.html",
        preview=shown,
        name=place.name,
        encodings=() if place.suffix.lower() == ".parquet" or place.is_dir() else ENCODINGS,
        encoding=form.encoding,
        no_root=bool(file and file.filename) and root is None,
    )


@router.get("/jobs/{id}")
def job_page(request: Request, state: State, id: str) -> HTMLResponse:
    """One job."""
    view = state.board.view(id)
    questions = view.found.questions or [view.found]
    return page(
        request,
        "web/job.html",
        view=view,
        files=_files(view),
        faults=_FAULT_WORDS,
        local=not state.runner.queued,
        corrections=any(state.reviews.store_of(one.job).path.is_file() for one in questions),
        of_questions=QuestionsReceipt.promise,
    )


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
    if is_corrected:
        there["corrected"] = "Corrected result"
    if job.storage.exists(_FILES["corrected_review"]):
        there["corrected_review"] = "Rows still to review"
    if job.storage.exists(groups_copy(result or Path(RESULT_FILE))):
        there["corrected_products"] = "Corrected products"
    return {"result": "Result", **there, "receipt": "Receipt (JSON)", "page": "Receipt (HTML)"}


@router.post("/jobs/{id}/apply")
def apply(found: Found, state: State) -> JSONResponse:
    """Write the corrected copy, and count its rows."""
    whole = found.whole
    done = apply_to_job(Labels(whole.job, whole.result), state.reviews.store_of(whole.job))
    counts = {"changed": done.changed, "confirmed": done.confirmed, "with a remark": done.remarked}
    rows = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count) or "no row has an answer yet"
    still = sum(done.to_review.values())
    unit = "row" if len(done.to_review) == 1 else "label"
    left = f"; {number_of(still, unit)} still to review" if still else ""
    products = "".join(f" Products: {counts.words}." for counts in done.products.values())
    return JSONResponse({"message": f"The corrected result was written: {rows}{left}.{products}"})


@router.get("/jobs/{id}/receipt")
def receipt_page(found: Found) -> Response:
    """The receipt's HTML page; see :func:`stored_page`."""
    html = _receipt_html(found)
    for question in found.questions:  # the stored page links to files in the job's folder
        file, shown = f"{QUESTIONS}/{question.job.name}/{PAGE_FILE}", f"../{quote(question.id)}/receipt"
        html = html.replace(f'class="file" href="{file}"'.encode(), f'href="{shown}"'.encode())
    return stored_page(html)


def _receipt_html(found: WebJob) -> bytes:
    try:
        return found.job.storage.read(PAGE_FILE)
    except FileNotFoundError as error:
        raise Problem(404, f"{found.title} has no receipt yet; wait until the job ends.") from error


@router.get("/jobs/{id}/files/{file}")
def download(found: Found, file: str) -> Response:
    """A file of a finished job."""
    result = found.result or Path(RESULT_FILE)
    files = _FILES | {"by_group": groups_file(result), "corrected_products": groups_copy(result)}
    key = files.get(file)
    if key is None:
        raise Problem(404, f"Expected one of {', '.join(files)}, got {file[:40]}.")
    if found.result and file in _OF_ALL:
        path = found.result if file == "result" else copy_of(found.result)
        return _file(path, path.name)
    name = f"{found.id}-{key}"
    head = {"content-disposition": f'attachment; filename="{name}"'}
    if key == PAGE_FILE:  # a download breaks links to other files
        return Response(without_file_links(_receipt_html(found)), headers=head, media_type=_media_type(name))
    storage = found.job.home if file in _OF_ALL else found.job.storage
    folder = storage.on_disk("")
    if folder is not None:
        return _file(folder / key, name)
    if not storage.exists(key):
        raise _no_file(key)
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
    return Problem(404, f"Expected the file {name[:100]}, but it does not exist yet; wait until the job ends.")
