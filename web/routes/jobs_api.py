"""The API that starts and controls jobs."""

import json
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from catalogue.urls import is_url
from models.text import one_line
from web.catalogues import uploaded
from web.responses import BEARER, Problem
from web.run_jobs import NewJob
from web.state import State, WebState
from web.watch_jobs import JobView
from worker.request import Priority

_LONGEST_JSON: Final = 1024 * 1024
_FIELDS: Final = 20

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[BEARER])


class Links(BaseModel):
    """Addresses of a job."""

    self: str
    page: str
    review: str
    receipt: str | None = Field(description="receipt.json, for a finished job.")
    result: str | None


class JobState(BaseModel):
    """A job and its progress."""

    id: str
    title: str
    state: str = Field(description="waiting, running, merging, finished, cancelled or failed.")
    source: str
    model: str = Field(description="name/version/variant@digest. The first model of a job with several models.")
    questions: list[str] = Field(
        description="Ids of the questions, if the job has several models: one question and review per model."
    )
    created_at: str
    rows: int
    done: int
    failed: int
    rate: float = Field(description="Rows a second.")
    seconds_left: float | None = Field(description="Remaining seconds at the rate of the last minute; null if unknown.")
    remarks: list[str] = Field(
        description="Reasons why the job does not progress, and remarks on the catalogue of a new job."
    )
    links: Links


class JobList(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobState]
    damaged: dict[str, str] = Field(description="Maps the id of each unreadable job to its error.")


_NEW: Final = {"source": "/data/spring.csv", "model": "shop@champion", "name": "spring"}


def _body() -> dict[str, Any]:
    schema = NewJob.model_json_schema()
    priority = {"type": "string", "enum": [*Priority], "default": Priority.NORMAL}
    fields = {**schema["properties"], "priority": priority}
    upload = {"catalogue": {"type": "string", "format": "binary", "description": "An uploaded file; replaces source."}}
    described = {"type": "object", "properties": fields, "additionalProperties": False}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {**described, "required": ["source"]}, "example": _NEW},
            "multipart/form-data": {
                "schema": {**described, "properties": {**fields, **upload}},
            },
        },
    }


@router.post(
    "",
    status_code=201,
    responses={201: {"model": JobState}},
    openapi_extra={
        "requestBody": _body(),
        "x-curl": "curl -H 'Content-Type: application/json' -d '" + json.dumps(_NEW) + "' {base}/v1/jobs",
    },
)
async def submit(request: Request, state: State) -> JSONResponse:
    """Label a catalogue: a file or a folder on the server, a URL, or an uploaded file.

    Workers label the catalogue; without Redis, the server's machine labels it. The server may read the folders of
    --data.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/json":
        started = await _start_source(state, _checked(_object(await request.body())))
    elif kind == b"multipart/form-data":
        async with request.form(max_files=1, max_fields=_FIELDS, max_part_size=_LONGEST_JSON) as form:
            started = await _start_form(state, form)
    else:
        shown = one_line(kind.decode("latin-1"), 60) or "no Content-Type"
        raise Problem(415, f"Expected application/json, or multipart/form-data with a file, got {shown}.")
    return JSONResponse(started.model_dump(), 201, {"location": started.links.self})


def _object(body: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict) or "source" not in sent:
        raise Problem(422, "Expected a JSON object with a source, got something else.")
    return sent


async def _start_form(state: WebState, form: FormData) -> JobState:
    file, models = form.get("catalogue"), form.getlist("model")
    fields: dict[str, Any] = {name: value for name, value in form.multi_items() if name != "catalogue" and value != ""}
    if len(models) > 1:
        fields["model"] = models
    if not isinstance(file, UploadFile | None) or any(isinstance(value, UploadFile) for value in fields.values()):
        raise Problem(422, "Expected one file named catalogue, and options as fields; got something else.")
    new = _checked(fields)  # raises an error before any file is stored
    if file is None:
        return await _start_source(state, new)
    return await run_in_threadpool(_start_upload, state, new, file)


def _start_upload(state: WebState, new: NewJob, file: UploadFile) -> JobState:
    with uploaded(file.filename or "catalogue", file.file) as place:
        return _start(state, new, place)


async def _start_source(state: WebState, new: NewJob) -> JobState:
    if is_url(new.source or ""):
        return await state.submissions.call(_start, state, new)
    return await run_in_threadpool(_start, state, new)


def _checked(fields: dict[str, Any]) -> NewJob:
    try:
        return NewJob.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error


def _start(state: WebState, new: NewJob, upload: Path | None = None) -> JobState:
    started, words = state.runner.start_job(new, new.model or state.classifier.model_name(), upload)
    shown = _shown(state, state.board.view(started.id))
    return shown.model_copy(update={"remarks": [*words, *shown.remarks]})


@router.get("", openapi_extra={"x-curl": "curl {base}/v1/jobs"})
def jobs(state: State, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> JobList:
    """List the jobs, newest first."""
    views, damaged = state.board.look()
    return JobList(jobs=[_shown(state, view) for view in views[:limit]], damaged=damaged)


@router.get("/{id}", openapi_extra={"x-curl": "curl {base}/v1/jobs/spring"})
def job(state: State, id: str) -> JobState:
    """Show a job and its progress."""
    return _shown(state, state.board.view(id))


@router.post("/{id}/cancel", openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/cancel"})
def cancel(state: State, id: str) -> JobState:
    """Stop a job. Finished rows are kept."""
    state.runner.cancel_job(state.jobs.find(id))
    return job(state, id)


@router.post("/{id}/resume", openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/resume"})
def resume(state: State, id: str) -> JobState:
    """Continue a cancelled job, or a job whose process has ended."""
    state.runner.resume_job(state.jobs.find(id))
    return job(state, id)


@router.post("/{id}/retry-failed", openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/retry-failed"})
def retry(state: State, id: str) -> JobState:
    """Retry a finished job's failed rows that may succeed now."""
    state.runner.retry_job(state.jobs.find(id))
    return job(state, id)


def _shown(state: WebState, view: JobView) -> JobState:
    spec, id, root = view.found.job.spec, quote(view.found.id), state.settings.root
    files = f"{root}/jobs/{id}/files" if view.is_finished else None
    return JobState(
        id=view.found.id,
        title=view.found.title,
        state=view.state,
        source=spec.source,
        model=view.found.job.model.reference,
        questions=[question.id for question in view.found.questions],
        created_at=spec.created_at,
        rows=view.progress.rows,
        done=view.progress.done,
        failed=view.progress.failed,
        rate=view.rate,
        seconds_left=view.progress.seconds_left,
        remarks=list(view.remarks),
        links=Links(
            self=f"{root}/v1/jobs/{id}",
            page=f"{root}/jobs/{id}",
            review=f"{root}/{'jobs' if view.questions else 'review'}/{id}",
            receipt=f"{files}/receipt" if files else None,
            result=f"{files}/result" if files else None,
        ),
    )
