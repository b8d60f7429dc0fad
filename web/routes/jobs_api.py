"""What programs ask about jobs, and buttons of pages: start one, see how far it is, cancel, resume, retry."""

import json
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from models.reference import models_given
from models.text import one_line
from web.problems import BEARER, Problem, problems
from web.run_jobs import WantedJob
from web.state import State, WebState
from web.watch_jobs import JobView
from worker.request import Priority

_PIECE: Final = 1 << 20
_LONGEST_JSON: Final = 1024 * 1024
_FIELDS: Final = 20

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[BEARER])

Text = Annotated[str, Field(min_length=1, max_length=8000)]


class NewJob(BaseModel):
    """A catalogue to label. The options are those of ``hangtag submit``."""

    model_config = ConfigDict(extra="forbid")

    source: Text | None = Field(None, description="A catalogue or a folder on the server, or a URL of a catalogue.")
    model: Text | list[Text] | None = Field(
        None,
        description="shop@champion, or a bundle's path; by default the one that is served. For several models a list: "
        "category=shop@champion, colour=colours@champion.",
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(None, description="Of the job.")
    image_column: Text | None = Field(None, description="The column with the photos; the obvious one by default.")
    image_root: Text | None = Field(None, description="Where relative paths start: a folder on the server, or a URL.")
    encoding: Text | None = Field(None, description="Of a text catalogue.")
    group_column: Text | None = Field(None, description="Says which rows are photos of one product.")
    precision: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="One of the model's table.")
    priority: Priority = Priority.NORMAL


class Links(BaseModel):
    """Where to go on."""

    self: str
    page: str
    review: str
    receipt: str | None = Field(description="Of a finished job: receipt.json.")
    result: str | None


class JobState(BaseModel):
    """A job, and how far it is."""

    id: str
    title: str
    state: str = Field(description="waiting, running, merging, finished or cancelled.")
    source: str
    model: str = Field(description="name/version/variant@digest; of a job with several models the first one's.")
    questions: list[str] = Field(description="Ids of the questions of a job with named models; each is reviewed alone.")
    created_at: str
    rows: int
    done: int
    failed: int
    rate: float = Field(description="Rows a second.")
    seconds_left: float | None = Field(description="At the rate of the last minute; null if unknown.")
    remarks: list[str] = Field(description="What stands in its way.")
    links: Links


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobState]
    damaged: dict[str, str] = Field(description="Id → what is wrong with a job that cannot be read.")


_EXAMPLE: Final = {
    "id": "spring",
    "title": "spring",
    "state": "running",
    "source": "/data/spring.csv",
    "model": "shop/3/int8@0f343b0931126a20",
    "questions": [],
    "created_at": "2026-03-01T09:00:00+00:00",
    "rows": 500000,
    "done": 120000,
    "failed": 12,
    "rate": 410.5,
    "seconds_left": 926.0,
    "remarks": [],
    "links": {
        "self": "/v1/jobs/spring",
        "page": "/jobs/spring",
        "review": "/review/spring",
        "receipt": None,
        "result": None,
    },
}
_JOB: Final = {"model": JobState, "content": {"application/json": {"example": _EXAMPLE}}}
_ONE: Final = {200: _JOB, **problems(404, 409)}
_NEW: Final = {"source": "/data/spring.csv", "model": "shop@champion", "name": "spring"}


def _body() -> dict[str, Any]:
    schema = NewJob.model_json_schema()
    priority = {"type": "string", "enum": [*Priority], "default": Priority.NORMAL}
    fields = {**schema["properties"], "priority": priority}
    upload = {"catalogue": {"type": "string", "format": "binary", "description": "A file, in place of source."}}
    told = {"type": "object", "properties": fields, "additionalProperties": False}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {**told, "required": ["source"]}, "example": _NEW},
            "multipart/form-data": {
                "schema": {**told, "properties": {**fields, **upload}, "required": ["catalogue"]},
            },
        },
    }


@router.post(
    "",
    status_code=201,
    responses={201: _JOB, **problems(400, 409, 413, 415, 422, 507)},
    openapi_extra={
        "requestBody": _body(),
        "x-curl": "curl -H 'Content-Type: application/json' -d '" + json.dumps(_NEW) + "' {base}/v1/jobs",
    },
)
async def submit(request: Request, state: State) -> JSONResponse:
    """Have a catalogue labelled: one that lies on the server or at a URL, or a file that is sent.

    With Redis it is queued for workers, otherwise this machine labels it. What may be read on the server is said by
    --data.
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/json":
        wanted = _wanted(_object(await _whole(request)), None, state)
        found = await run_in_threadpool(_started, state, wanted)
    elif kind == b"multipart/form-data":
        async with request.form(max_files=1, max_fields=_FIELDS, max_part_size=_LONGEST_JSON) as form:
            found = await run_in_threadpool(_sent, state, form)
    else:
        said = one_line(kind.decode("latin-1"), 60) or "no Content-Type"
        raise Problem(415, f"Expected application/json, or multipart/form-data with a file, got {said}.")
    return JSONResponse(found.model_dump(), 201, {"location": found.links.self})


async def _whole(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_JSON:
            raise Problem(413, f"Expected at most {_LONGEST_JSON:,} bytes; send the catalogue as a file.")
    return body


def _object(body: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict) or "source" not in sent:
        raise Problem(422, "Expected a JSON object with a source, got something else.")
    return sent


def _sent(state: WebState, form: FormData) -> JobState:
    """A job of a file that was sent, with options in the form's other fields."""
    upload = form.get("catalogue")
    given: dict[str, Any] = {name: value for name, value in form.multi_items() if name != "catalogue" and value != ""}
    models = form.getlist("model")
    if len(models) > 1:
        given["model"] = models
    if not isinstance(upload, UploadFile) or any(isinstance(value, UploadFile) for value in given.values()):
        raise Problem(422, "Expected one file, catalogue, and options in fields; got something else.")
    new = _checked(given)  # before anything is kept
    token = state.runner.uploads.keep(upload.filename or "catalogue", iter(lambda: upload.file.read(_PIECE), b""))
    try:
        return _started(state, _wanted_of(new, token, state))
    finally:
        state.runner.uploads.forget(token)


def _wanted(given: dict[str, Any], upload: str | None, state: WebState) -> WantedJob:
    return _wanted_of(_checked(given), upload, state)


def _checked(given: dict[str, Any]) -> NewJob:
    try:
        new = NewJob.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error
    if any("\0" in value for value in new.model_dump().values() if isinstance(value, str)):
        raise Problem(422, "Expected text without null characters.")
    return new


def _wanted_of(new: NewJob, upload: str | None, state: WebState) -> WantedJob:
    given = new.model_dump()
    model = models_given(new.model) if isinstance(new.model, list) else new.model or state.classifier.meant()
    given |= {"source": new.source or "", "model": str(model) if isinstance(model, Path) else model, "upload": upload}
    return WantedJob(**given)


def _started(state: WebState, wanted: WantedJob) -> JobState:
    return _shown(state, state.board.view(state.runner.start_job(wanted).id))


@router.get("", responses=problems(), openapi_extra={"x-curl": "curl {base}/v1/jobs"})
def jobs(state: State, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> JobList:
    """List the jobs, the newest first."""
    views, wrong = state.board.look()
    return JobList(jobs=[_shown(state, view) for view in views[:limit]], damaged=wrong)


@router.get("/{id}", responses=_ONE, openapi_extra={"x-curl": "curl {base}/v1/jobs/spring"})
def job(state: State, id: str) -> JobState:
    """Say how far a job is."""
    return _shown(state, state.board.view(id))


@router.post("/{id}/cancel", responses=_ONE, openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/cancel"})
def cancel(state: State, id: str) -> JobState:
    """Stop a job; what is done is kept."""
    state.runner.cancel_job(state.jobs.find(id))
    return job(state, id)


@router.post("/{id}/resume", responses=_ONE, openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/resume"})
def resume(state: State, id: str) -> JobState:
    """Go on with a job that was cancelled, or that nothing labels any more."""
    state.runner.resume_job(state.jobs.find(id))
    return job(state, id)


@router.post(
    "/{id}/retry-failed", responses=_ONE, openapi_extra={"x-curl": "curl -X POST {base}/v1/jobs/spring/retry-failed"}
)
def retry(state: State, id: str) -> JobState:
    """Try those failed rows of a finished job again that may pass."""
    state.runner.retry_job(state.jobs.find(id))
    return job(state, id)


def _shown(state: WebState, view: JobView) -> JobState:
    spec, id = view.found.job.spec, quote(view.found.id)
    root = state.settings.root_path
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
