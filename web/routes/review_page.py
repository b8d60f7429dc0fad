"""The review page and its API."""

import getpass
import json
import unicodedata
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from catalogue.urls import readable
from models.decision import ReviewReason
from models.errors import InputError
from trainer.corrections.apply import CorrectedResult, Labels, apply_to_job
from web.pictures import SIDES
from web.responses import REVIEWER_COOKIE, Problem, page, reviewer_of
from web.review.queue import Choice, Order, Progress
from web.review.reviews import Answer, Review, Stored
from web.state import State, WebState

router = APIRouter(tags=["review"])

_A_YEAR_S: Final = 365 * 24 * 3600
_LONGEST_CELL: Final = 400
_ANSWERS: Final = {
    "reviewer": "anna",
    "answers": [{"id": "anna-1", "sha256": "SHA-256 of a question", "kind": "label", "label": "hats"}],
}
_PICTURES: Final[dict[str, dict[str, str]]] = {"image/jpeg": {}, "image/svg+xml": {}}
"""A photo, or a placeholder that shows why the photo is missing."""
Audit = Annotated[
    int,
    Query(
        ge=0,
        le=100_000,
        description="Audit: number of random labeled rows to review, instead of rows with the status review.",
    ),
]
Side = Annotated[int, Query(ge=1, le=SIDES[-1], description="The longer side, in pixels.")]


def _choice(
    order: Order = Order.LEAST_SURE,
    label: Annotated[str | None, Query(max_length=200, description="Only photos with this predicted class.")] = None,
    second: Annotated[float, Query(ge=0, le=1, description="Fraction of photos that two people review.")] = 0.0,
) -> Choice:
    return Choice(order, label, second)


Chosen = Annotated[Choice, Depends(_choice)]


class Guess(BaseModel):
    """A class and its probability. The probability is null if the result does not list the class."""

    label: str
    confidence: float | None


class OtherAnswer(BaseModel):
    """One reviewer's answer, shown if reviewers disagree."""

    reviewer: str
    says: str


class Question(BaseModel):
    """A photo for review.

    Attributes:
        row: the first row with this photo, from 1.
        rows, products: number of rows and of products with this photo.
        guesses: the likeliest classes, best first, then the catalogue's own class.
        catalogue_class: the class in the catalogue's ``catalogue_column``, or null.
        cells: the row's columns in the catalogue.
        again: all answers for this photo, if reviewers disagree; else empty.
    """

    sha256: str
    row: int
    rows: int
    products: int
    label: str
    confidence: float
    reason: str
    guesses: list[Guess]
    catalogue_class: str | None
    catalogue_column: str | None
    cells: list[tuple[str, str]]
    note: str
    again: list[OtherAnswer]
    photo: str


class QuestionList(BaseModel):
    """Photos that are leased to one tab for five minutes.

    Attributes:
        finished: whether the job is finished. A running job may have more photos later.
        elsewhere: number of photos that are leased to other tabs.
    """

    questions: list[Question]
    progress: Progress
    reviewer: str
    finished: bool
    elsewhere: int


class SentAnswers(BaseModel):
    """Answers in order. An answer that is sent twice with the same id is stored once."""

    answers: Annotated[list[Answer], Field(max_length=500)]
    reviewer: Annotated[str | None, Field(max_length=64)] = None
    tab: Annotated[str, Field(max_length=64)] = ""


class ReviewClass(BaseModel):
    """A class with URLs of example photos. ``doubtful``: number of photos for review with this predicted class."""

    label: str
    examples: list[str]
    doubtful: int


class ReviewClasses(BaseModel):
    """The classes that a reviewer can choose. ``catalogue_column``: the catalogue's column with classes, or null."""

    classes: list[ReviewClass]
    catalogue_column: str | None


class ReviewerName(BaseModel):
    """The name of this browser's reviewer."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


@router.get("/review", include_in_schema=False)
def reviews(request: Request, state: State) -> HTMLResponse:
    """The jobs."""
    return page(request, "web/reviews.html", views=state.board.look()[0])


@router.get("/review/{id}", include_in_schema=False)
def review(request: Request, state: State, id: str, audit: Audit = 0) -> HTMLResponse:
    """The page on which a person reviews photos."""
    job = state.reviews.find(id)
    if job.questions:
        ids = " or ".join(question.id for question in job.questions)
        raise Problem(404, f"{job.title} has several models, each with its own review: {ids}.")
    name = reviewer_of(request) or _user_name(state)
    orders = [order for order in Order if (order is Order.RANDOM) == bool(audit)]
    answer = page(request, "web/review.html", job=job, name=name, audit=audit, orders=orders)
    if name and not reviewer_of(request):
        _set_name(answer, request, name)
    return answer


@router.get("/review/{id}/corrections.csv", include_in_schema=False)
def corrections(state: State, id: str) -> Response:
    """All stored answers."""
    path = state.reviews.store_of(state.reviews.find(id).job).path
    if not path.is_file():
        raise Problem(404, "Expected answers, found none; review a photo first.")
    return FileResponse(path, media_type="text/csv", filename=path.name)


@router.put("/v1/reviewer", status_code=204)
def name_reviewer(request: Request, sent: ReviewerName) -> Response:
    """Set the reviewer's name in this browser."""
    answer = Response(status_code=204)
    _set_name(answer, request, _checked_name(sent.name))
    return answer


@router.get("/jobs/{id}/rows/{row}/photo", response_class=Response, responses={200: {"content": _PICTURES}})
async def photo(
    state: State,
    id: str,
    row: int,
    side: Side = 400,
    sha256: Annotated[
        str,
        Query(
            pattern="^[0-9a-f]{0,64}$",
            description="First digits of the photo's SHA-256. If the photo has changed, a placeholder is shown.",
        ),
    ] = "",
) -> Response:
    """The photo of a row (from 1) as a JPEG, or a placeholder that shows why the photo is missing."""
    job = (await run_in_threadpool(state.reviews.find, id)).job
    if not 1 <= row <= job.spec.rows:
        raise Problem(404, f"Expected a row from 1 to {job.spec.rows:,}, got {row}.")
    picture = await state.pictures.picture(job, row - 1, side, sha256)
    kept = f"private, max-age={_A_YEAR_S}, immutable" if sha256 else "private, max-age=600"
    headers = {"cache-control": kept}
    if picture.fault:
        headers = {"cache-control": "no-store", "x-hangtag-fault": picture.fault.value}
    return Response(picture.data, media_type=picture.kind, headers=headers)


@router.get("/jobs/{id}/golden/{name}", response_class=Response, include_in_schema=False)
async def golden_photo(state: State, id: str, name: str, side: Side = 96) -> Response:
    """An example photo from the model's bundle, as a JPEG."""
    data = await state.pictures.draw(await run_in_threadpool(_golden_photo, state, id, f"golden/{name}"), side)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


def _golden_photo(state: WebState, id: str, file: str) -> bytes:
    review = state.reviews.open(id)
    if review.questions.bundle is None or file not in review.golden:
        raise Problem(404, f"Expected one of the model's {len(review.golden)} example photos, got {file[:80]}.")
    return review.questions.bundle.read(file)


@router.post(
    "/v1/jobs/{id}/questions",
    openapi_extra={"x-curl": "curl -X POST '{base}/v1/jobs/spring/questions?n=10&reviewer=anna'"},
)
def questions(
    request: Request,
    state: State,
    id: str,
    choice: Chosen,
    n: Annotated[int, Query(ge=0, le=64)] = 12,
    tab: Annotated[str, Query(max_length=64, description="Id of the browser tab. Default: the reviewer's name.")] = "",
    fresh: Annotated[bool, Query(description="Release the photos of this tab.")] = False,
    reviewer: Annotated[str | None, Query(max_length=64)] = None,
    audit: Audit = 0,
) -> QuestionList:
    """Return the next photos, each with a lease of five minutes. A repeated request renews the tab's leases.

    A job with several models has one review per model, such as ``spring~colour``.
    """
    name = _reviewer(request, state, reviewer)
    review = state.reviews.open(id, audit, again=fresh, begins=True)
    places = review.take(name, tab or name, choice, n, fresh=fresh)
    shown = [_question(state, id, review, place, name) for place in places]
    state.pictures.fetch_ahead(review.job, [question.row - 1 for question in shown])
    return QuestionList(
        questions=shown,
        progress=review.queue.progress(name, choice),
        reviewer=name,
        finished=review.finished,
        elsewhere=review.queue.elsewhere(name, tab or name, choice),
    )


@router.post(
    "/v1/jobs/{id}/answers",
    openapi_extra={
        "x-curl": "curl -H 'Content-Type: application/json' -d '"
        + json.dumps(_ANSWERS)
        + "' {base}/v1/jobs/spring/answers"
    },
)
def answers(request: Request, state: State, id: str, choice: Chosen, sent: SentAnswers, audit: Audit = 0) -> Stored:
    """Store answers. The reply lists the accepted answers, which are on the disk.

    ``kind`` may be label, not_a_product, more_than_one, note, skip or undo. Each answer needs a unique ``id``.
    """
    name = _reviewer(request, state, sent.reviewer)
    review = state.reviews.open(id, audit, begins=True)
    try:
        return review.answer(name, sent.tab or name, choice, sent.answers)
    except InputError as error:  # the file cannot be written
        raise Problem(507, str(error)) from error


@router.get("/v1/jobs/{id}/classes")
def classes(state: State, id: str, audit: Audit = 0) -> ReviewClasses:
    """Return the model's classes, then classes that reviewers added, each with example photos.

    Examples are photos labeled with the class. If there are none, they come from the model's bundle.
    """
    review = state.reviews.open(id, audit)
    place, of_rows = f"/jobs/{quote(id)}", review.questions.examples
    examples = {name: [f"{place}/rows/{row + 1}/photo" for row in rows] for name, rows in of_rows.items()}
    for file, name in review.golden.items():
        if name not in of_rows:
            examples.setdefault(name, []).append(f"{place}/{quote(file)}")
    doubtful = review.doubtful
    shown = [
        ReviewClass(label=label, examples=examples.get(label, [])[:3], doubtful=doubtful.get(label, 0))
        for label in review.labels
    ]
    return ReviewClasses(classes=shown, catalogue_column=review.questions.catalogue_column)


@router.post("/v1/jobs/{id}/corrected")
def correct(state: State, id: str) -> CorrectedResult:
    """Write a corrected copy of a job's result next to the result."""
    whole = state.reviews.find(id).whole
    return apply_to_job(Labels(whole.job, whole.result), state.reviews.store_of(whole.job))


def _reviewer(request: Request, state: WebState, name: str | None) -> str:
    name = name or reviewer_of(request) or _user_name(state)
    if not name:
        raise Problem(422, "Expected a reviewer's name; send the field reviewer, or enter the name on the page.")
    return _checked_name(name)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or any(unicodedata.category(character)[0] in "CZ" and character != " " for character in name):
        raise Problem(422, "Expected a name of printable characters on one line.")
    return name


def _user_name(state: WebState) -> str:
    """The user's name on this machine, or an empty text if other users can open the page."""
    if not state.settings.is_personal:
        return ""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"


def _set_name(answer: Response, request: Request, name: str) -> None:
    answer.set_cookie(
        REVIEWER_COOKIE,
        quote(name),
        max_age=_A_YEAR_S,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _question(state: WebState, id: str, review: Review, place: int, reviewer: str) -> Question:
    columns = review.questions.get(place)
    row, named = columns["row"] + 1, columns["catalogue_class"]
    guesses = [Guess(**guess) for guess in columns["top_k"] or ()]
    if named and named not in {guess.label for guess in guesses}:
        guesses.append(Guess(label=named, confidence=None))
    statements = review.queue.statements(place)
    others = [
        OtherAnswer(reviewer=name, says=one.label or one.remark.replace("_", " ")) for name, one in statements.items()
    ]
    return Question(
        sha256=columns["sha256"],
        row=row,
        rows=columns["rows"],
        products=columns["products"],
        label=columns["label"],
        confidence=columns["confidence"],
        reason=ReviewReason(columns["reason"]).words if columns["reason"] else "labeled without a person",
        guesses=guesses,
        catalogue_class=named,
        catalogue_column=review.questions.catalogue_column,
        cells=_cells(state, review, row - 1),
        note=review.note_of(place, reviewer),
        again=others if len(others) > 1 else [],
        photo=f"/jobs/{quote(id)}/rows/{row}/photo?sha256={columns['sha256'][:16]}",
    )


def _cells(state: WebState, review: Review, row: int) -> list[tuple[str, str]]:
    cells = state.rows.row(review.job, row).to_pylist()[0]
    return [
        (name, readable(str(value))[:_LONGEST_CELL])
        for name, value in cells.items()
        if value not in (None, "") and not isinstance(value, bytes) and not str(value).startswith("data:")
    ]
