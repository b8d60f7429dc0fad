"""The review page, and what it asks: questions with leases, answers, pictures of rows."""

import getpass
import unicodedata
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from pydantic import BaseModel, Field

from models.decision import ReviewReason
from models.errors import InputError
from trainer.corrections.apply import CorrectedResult, Labels, apply_to_job
from web.jobs import WebJob
from web.photos import SIDES, drawn_picture
from web.problems import Problem, problems
from web.review.desk import Answer, Review, Stored
from web.review.queue import Order, Progress, Wish
from web.state import State, WebState
from web.views import REVIEWER_COOKIE, page, reviewer_of

router = APIRouter(tags=["review"])

_A_YEAR_S = 365 * 24 * 3600
_LONGEST_CELL = 400
_PICTURES: dict[str, dict[str, str]] = {"image/jpeg": {}, "image/png": {}, "image/svg+xml": {}}
"""A photo, a damaged one as it is, or a drawing that says why there is none."""
Audit = Annotated[
    int,
    Query(
        ge=0,
        le=100_000,
        description="Ask about this many labeled rows drawn at random, not the doubtful ones.",
    ),
]


def _wish(
    order: Order = Order.LEAST_SURE,
    label: Annotated[
        str | None, Query(max_length=200, description="Photos that the model takes for this class.")
    ] = None,
    second: Annotated[float, Query(ge=0, le=1, description="Share of photos about which two people are asked.")] = 0.0,
) -> Wish:
    return Wish(order, label, second)


Wished = Annotated[Wish, Depends(_wish)]


class Guess(BaseModel):
    """A class, and how likely the model finds it; null where it is none of those that the result names."""

    label: str
    confidence: float | None


class OtherAnswer(BaseModel):
    """What somebody said of a photo on which reviewers do not agree."""

    reviewer: str
    says: str


class Question(BaseModel):
    """A photo that a person should look at.

    Attributes:
        row: the first row with that photo, from 1.
        rows: how many rows have it; ``products``, how many products.
        reason: why it is asked.
        guesses: the likeliest classes, best first; then the class that the catalogue names.
        said: the class that the catalogue itself names; null if it names none.
        cells: the row's columns in the catalogue.
        again: what was said of it, where reviewers do not agree; empty otherwise.
    """

    sha256: str
    row: int
    rows: int
    products: int
    label: str
    confidence: float
    reason: str
    guesses: list[Guess]
    said: str | None
    said_by: str | None
    cells: list[tuple[str, str]]
    note: str
    again: list[OtherAnswer]
    photo: str


class QuestionList(BaseModel):
    """Questions that are asked of nobody else for five minutes.

    Attributes:
        finished: whether the job is; more photos may come to review where it is not.
        elsewhere: questions that are not given since another seat holds them.
    """

    questions: list[Question]
    progress: Progress
    reviewer: str
    finished: bool
    elsewhere: int


class GivenAnswers(BaseModel):
    """Answers in their order; one that is sent twice (with the same id) is stored once."""

    answers: Annotated[list[Answer], Field(max_length=500)]
    reviewer: Annotated[str | None, Field(max_length=64)] = None
    seat: Annotated[str, Field(max_length=64)] = ""


class ReviewClass(BaseModel):
    """A class, with addresses of photos of it, and how many doubtful photos the model takes for it."""

    label: str
    examples: list[str]
    doubtful: int


class ReviewClasses(BaseModel):
    """The classes that photos may be given."""

    classes: list[ReviewClass]
    said_by: str | None


class ReviewerName(BaseModel):
    """Who reviews."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


@router.get("/review", include_in_schema=False)
def reviews(request: Request, state: State) -> HTMLResponse:
    """The jobs, with how many of their rows a person should look at."""
    views, _ = state.board.look()
    return HTMLResponse(page(request, "web/reviews.html", views=views))


@router.get("/review/{id}", include_in_schema=False)
def review(request: Request, state: State, id: str, audit: Audit = 0) -> HTMLResponse:
    """The page that asks."""
    job = _found(state, id)
    if job.questions:
        raise Problem(
            404, f"{job.title} asks several questions; review {' or '.join(one.id for one in job.questions)}."
        )
    name = reviewer_of(request) or (_own_name() if state.settings.is_personal else "")
    orders = [order for order in Order if (order is Order.RANDOM) == bool(audit)]
    answer = HTMLResponse(page(request, "web/review.html", job=job, name=name, audit=audit, orders=orders))
    if name and not reviewer_of(request):
        _name_cookie(answer, request, name)
    return answer


@router.get("/review/{id}/corrections.csv", include_in_schema=False)
def corrections(state: State, id: str) -> Response:
    """All answers that are stored."""
    path = state.reviews.store_of(_found(state, id).job).path
    if not path.is_file():
        raise Problem(404, "Expected answers, nobody has given any yet.")
    return FileResponse(path, media_type="text/csv", filename=path.name)


@router.put("/v1/reviewer", status_code=204)
def name_reviewer(request: Request, given: ReviewerName) -> Response:
    """Say who reviews in this browser."""
    answer = Response(status_code=204)
    _name_cookie(answer, request, _checked_name(given.name))
    return answer


@router.get("/jobs/{id}/rows/{row}/photo", response_class=Response, responses={200: {"content": _PICTURES}})
def photo(
    state: State,
    id: str,
    row: int,
    side: Annotated[int, Query(ge=1, le=SIDES[-1])] = 400,
    sha256: Annotated[
        str,
        Query(
            pattern="^[0-9a-f]{0,64}$",
            description="First digits of the photo's SHA-256: a photo with another one is not shown.",
        ),
    ] = "",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The photo of a row (from 1) as a JPEG; where there is none, a drawing that says why."""
    job = _found(state, id).job
    if not 1 <= row <= job.spec.rows:
        raise Problem(404, f"Expected a row from 1 to {job.spec.rows:,}, got {row}.")
    picture = state.pictures.picture(job, row - 1, side, sha256)
    kept = f"private, max-age={_A_YEAR_S}, immutable" if sha256 else "private, max-age=600"
    headers = {"cache-control": "no-store" if picture.fault else kept, "etag": picture.etag}
    if picture.fault:
        headers["x-hangtag-fault"] = picture.fault.value
    if if_none_match == picture.etag:
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.kind, headers=headers)


@router.get("/jobs/{id}/golden/{name}", response_class=Response, include_in_schema=False)
def golden_photo(state: State, id: str, name: str, side: Annotated[int, Query(ge=1, le=SIDES[-1])] = 96) -> Response:
    """A golden photo of the job's model, as a JPEG."""
    desk = _review(state, id)
    file = f"golden/{name}"
    if desk.questions.bundle is None or file not in desk.golden:
        raise Problem(404, f"Expected one of {len(desk.golden)} golden photos, got {name[:80]}.")
    data = drawn_picture(desk.questions.bundle.read(file), side)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.get("/v1/jobs/{id}/questions")
def questions(
    request: Request,
    state: State,
    id: str,
    wish: Wished,
    n: Annotated[int, Query(ge=0, le=64)] = 12,
    seat: Annotated[str, Query(max_length=64, description="Who shows them; the reviewer's name by default.")] = "",
    fresh: Annotated[bool, Query(description="Let go of the questions that this seat holds.")] = False,
    reviewer: Annotated[str | None, Query(max_length=64)] = None,
    audit: Audit = 0,
) -> QuestionList:
    """The next questions, with a lease of five minutes each; asking again renews the leases of the seat."""
    name = _reviewer(request, state, reviewer)
    desk = _review(state, id, audit, again=fresh)
    places = desk.take(name, seat or name, wish, n, fresh=fresh)
    asked = [_question(state, id, desk, place, name) for place in places]
    state.pictures.fetch_ahead(desk.job, [question.row - 1 for question in asked])
    progress = desk.queue.progress(name, wish)
    elsewhere = desk.queue.elsewhere(name, seat or name, wish)
    return QuestionList(questions=asked, progress=progress, reviewer=name, finished=desk.finished, elsewhere=elsewhere)


@router.post("/v1/jobs/{id}/answers", responses=problems(507))
def answers(request: Request, state: State, id: str, wish: Wished, given: GivenAnswers, audit: Audit = 0) -> Stored:
    """Store answers: those that are named as stored are in ``corrections.csv``, whatever dies."""
    name = _reviewer(request, state, given.reviewer)
    desk = _review(state, id, audit)
    try:
        return desk.answer(name, given.seat or name, wish, given.answers)
    except InputError as error:  # of the file: what is wrong with an answer stands in what is returned
        raise Problem(507, str(error)) from error


@router.get("/v1/jobs/{id}/classes")
def classes(state: State, id: str, audit: Audit = 0) -> ReviewClasses:
    """The classes of a job's model, and those that reviewers added, each with photos of it.

    They are rows that were labeled as it; where there are none, photos of the model's bundle.
    """
    desk = _review(state, id, audit)
    place = f"/jobs/{quote(id)}"
    examples = {
        name: [f"{place}/rows/{row + 1}/photo" for row in rows] for name, rows in desk.questions.examples.items()
    }
    for file, name in desk.golden.items():
        if name not in desk.questions.examples:
            examples.setdefault(name, []).append(f"{place}/{quote(file)}")
    found = [
        ReviewClass(label=label, examples=examples.get(label, [])[:3], doubtful=desk.doubtful.get(label, 0))
        for label in desk.labels
    ]
    return ReviewClasses(classes=found, said_by=desk.questions.said_by)


@router.post("/v1/jobs/{id}/corrected")
def correct(state: State, id: str) -> CorrectedResult:
    """Write the corrected copy of a job's result, beside it; the result itself is left alone."""
    whole = _found(state, id).whole
    return apply_to_job(Labels(whole.job, whole.result), state.reviews.store_of(whole.job))


def _found(state: WebState, id: str) -> WebJob:
    try:
        return state.reviews.find(id)
    except InputError as error:
        raise Problem(404, str(error)) from error


def _review(state: WebState, id: str, audit: int = 0, *, again: bool = False) -> Review:
    _found(state, id)
    return state.reviews.open(id, audit, again=again)


def _reviewer(request: Request, state: WebState, given: str | None) -> str:
    name = given or reviewer_of(request) or (_own_name() if state.settings.is_personal else "")
    if not name:
        raise Problem(422, "Expected the name of a reviewer; give it as reviewer, or on the page.")
    return _checked_name(name)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or any(unicodedata.category(character)[0] in "CZ" and character != " " for character in name):
        raise Problem(422, "Expected a name of printable characters on one line.")
    return name


def _own_name() -> str:
    """Of this machine's user, who is the one at a loopback address."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reviewer"


def _name_cookie(answer: Response, request: Request, name: str) -> None:
    answer.set_cookie(
        REVIEWER_COOKIE,
        quote(name),
        max_age=_A_YEAR_S,
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _question(state: WebState, id: str, desk: Review, place: int, reviewer: str) -> Question:
    about = desk.questions.get(place)
    said = desk.queue.said(place)
    others = [OtherAnswer(reviewer=name, says=one.label or one.remark.replace("_", " ")) for name, one in said.items()]
    row = about["row"] + 1
    guesses = [Guess(**guess) for guess in about["top_k"] or ()]
    if about["said"] and about["said"] not in {guess.label for guess in guesses}:
        guesses.append(Guess(label=about["said"], confidence=None))
    return Question(
        sha256=about["sha256"],
        row=row,
        rows=about["rows"],
        products=about["products"],
        label=about["label"],
        confidence=about["confidence"],
        reason=ReviewReason(about["reason"]).words if about["reason"] else "labeled without a person",
        guesses=guesses,
        said=about["said"],
        said_by=desk.questions.said_by,
        cells=_cells(state, desk, row - 1),
        note=desk.note_of(place, reviewer),
        again=others if len(others) > 1 else [],
        photo=f"/jobs/{quote(id)}/rows/{row}/photo?sha256={about['sha256'][:16]}",
    )


def _cells(state: WebState, desk: Review, row: int) -> list[tuple[str, str]]:
    """A row of the catalogue as a person reads it, without photos in cells and empty ones."""
    cells = state.rows.row(desk.job, row).to_pylist()[0]
    return [
        (name, str(value)[:_LONGEST_CELL])
        for name, value in cells.items()
        if value not in (None, "") and not isinstance(value, bytes) and not str(value).startswith("data:")
    ]
