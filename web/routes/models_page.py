"""The models: all versions, one model, one version, and two side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from models.bundle import read_manifest
from models.errors import HangtagError, InputError, RegistryError
from models.registry.history import Event, What
from models.registry.publish import REPORT_FILES
from models.registry.registry import Registry, open_registry
from models.registry.state import CHAMPION
from models.statistics.intervals import wilson_interval
from web.comparisons import ComparisonKey
from web.jobs import WebJob
from web.model_card import card_of
from web.problems import Problem
from web.state import State, WebState
from web.views import page, reviewer_of, stored_page
from worker.job.receipt import job_receipt
from worker.registry.show import (
    VersionName,
    accuracy_words,
    ago,
    compare_versions,
    done_words,
    look_up,
    numbers_words,
    promoted_words,
    restored_words,
    value_words,
    versions_of,
)

router = APIRouter(include_in_schema=False)

_PNG = b"\x89PNG\r\n\x1a\n"
Why = Annotated[str, Form(max_length=2000)]
Who = Annotated[str, Form(max_length=64)]
NameQuery = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True)
class _Served:
    """The model that this server tries.

    Attributes:
        version: such as ``shop@3``; None if it is a path, or none can be found.
        path: of a bundle, or of a lone file; None if it is a version.
        trouble: why there is none, if so.
    """

    version: str | None = None
    path: Path | None = None
    trouble: str | None = None


@router.get("/models")
def models_page(request: Request, state: State) -> HTMLResponse:
    """All versions of all models."""
    models: dict[str, list[dict[str, Any]]] = {}
    faults: dict[str, str] = {}
    try:
        registry = open_registry(state.settings.registry)
        for name in registry.names():
            try:
                models[name] = _versions(registry, name)
            except (HangtagError, OSError) as error:
                faults[name] = str(error)
    except (HangtagError, OSError) as error:
        faults[state.settings.registry] = str(error)
    shown = page(
        request,
        "web/models.html",
        models=models,
        faults=faults,
        registry=state.settings.registry,
        served=_served(state),
    )
    return HTMLResponse(shown)


def _versions(registry: Registry, name: str) -> list[dict[str, Any]]:
    """The versions of a model as the command lists them, the newest first, each with its age."""
    now = datetime.now(UTC)
    found = reversed(versions_of(registry, name))
    return [{**one, "accuracy_words": accuracy_words(one), "ago": ago(one["published_at"], now)} for one in found]


def _served(state: WebState) -> _Served:
    """The model that photos are tried with, or would be."""
    model, place = state.settings.model, state.settings.registry
    if model and Path(model).exists():
        return _Served(path=Path(model))
    try:
        if model and "@" not in model:
            read_manifest(Path(model))  # says that nothing is there
        registry = open_registry(place)
        names = registry.names()
        if model is None and len(names) != 1:
            return _Served(trouble="" if not names else "No model is named with --model, and there are several here.")
        return _Served(version=str(look_up(model or f"{names[0]}@{CHAMPION}", registry)))
    except (HangtagError, OSError) as error:
        return _Served(trouble=str(error))


@router.get("/models/_served")
def served_page(request: Request, state: State) -> HTMLResponse:
    """The card of the bundle that the server was started with."""
    path = _served(state).path
    if path is None:
        raise Problem(404, "Expected a bundle's path after --model, this server takes its model from the registry.")
    card = card_of(read_manifest(path))
    return HTMLResponse(page(request, "web/model_card.html", card=card, title=path.name, place=path, version=None))


@router.get("/models/_compare")
def compare_page(
    request: Request, state: State, before: NameQuery, after: NameQuery, job: NameQuery = ""
) -> HTMLResponse:
    """Two versions side by side, and on the rows of a job."""
    registry = open_registry(state.settings.registry)
    old, new = _named(registry, before), _named(registry, after)
    jobs = [found for found in state.jobs.all() if job_receipt(found.job)]
    chosen = next((found for found in jobs if found.id == job), None)
    diff = compare_versions(registry, old, new)
    shown = page(
        request,
        "web/models_compare.html",
        before=old,
        after=new,
        diff=diff,
        events=_events(diff.between),
        value_words=value_words,
        jobs=jobs,
        **_rows_values(state, registry, old, new, chosen),
    )
    return HTMLResponse(shown)


@router.get("/models/_compare/rows")
def compared_rows(request: Request, state: State, before: NameQuery, after: NameQuery, job: NameQuery) -> HTMLResponse:
    """How far the comparison on a job's rows is, or what came of it."""
    return _rows(request, state, before, after, state.jobs.find(job))


@router.post("/models/_compare/rows")
def compare_rows(
    request: Request,
    state: State,
    before: Annotated[str, Form(max_length=200)],
    after: Annotated[str, Form(max_length=200)],
    job: Annotated[str, Form(max_length=200)],
    stop: Annotated[bool, Form()] = False,
) -> HTMLResponse:
    """Label some rows of a job with both, or end that."""
    registry = open_registry(state.settings.registry)
    old, new = _named(registry, before), _named(registry, after)
    found = state.jobs.find(job)
    if job_receipt(found.job) is None:
        raise Problem(409, f"Expected a finished job, {found.title} is not; wait for it, or choose another.")
    key = _key(registry, found, old, new)
    if stop:
        state.comparisons.stop(key)
    else:
        state.comparisons.start(key, found.job, registry, old, new)
    answer = _rows(request, state, before, after, found)
    query = urlencode({"before": str(old), "after": str(new), "job": found.id})
    answer.headers["hx-replace-url"] = f"{request.scope.get('root_path', '')}/models/_compare?{query}"
    return answer


def _rows(request: Request, state: WebState, before: str, after: str, found: WebJob) -> HTMLResponse:
    registry = open_registry(state.settings.registry)
    old, new = _named(registry, before), _named(registry, after)
    values = _rows_values(state, registry, old, new, found)
    return HTMLResponse(page(request, "web/models_rows.html", before=old, after=new, **values))


def _rows_values(
    state: WebState, registry: Registry, before: VersionName, after: VersionName, found: WebJob | None
) -> dict[str, Any]:
    compared = state.comparisons.find(_key(registry, found, before, after)) if found else None
    figures = compared.figures if compared else None
    interval = wilson_interval(figures.changed, figures.rows) if figures else None
    return {"job": found, "compared": compared, "figures": figures, "interval": interval}


def _key(registry: Registry, found: WebJob, before: VersionName, after: VersionName) -> ComparisonKey:
    digests = (registry.state(name).versions[version].digest for name, version in (before, after))
    return ComparisonKey(found.job.spec.id, *digests)


def _named(registry: Registry, which: str) -> VersionName:
    try:
        return look_up(which, registry)
    except (RegistryError, InputError) as error:
        raise Problem(404, str(error)) from error


@router.get("/models/{name}")
def model_page(request: Request, state: State, name: str, event: int = 0) -> HTMLResponse:
    """One model: its versions, and who did what to it."""
    registry = open_registry(state.settings.registry)
    with _missing_is_404():
        events = registry.history(name).events()
        versions = _versions(registry, name)
        previous = registry.previous_champion(name)
    shown = page(
        request,
        "web/model.html",
        name=name,
        registry=registry.place,
        versions=versions,
        champion=_champion(registry, name),
        previous=previous,
        events=_events(events)[::-1],
        said=_said(registry, name, events, event),
        served=_served(state),
    )
    return HTMLResponse(shown)


@contextmanager
def _missing_is_404() -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        raise Problem(404, str(error)) from error


def _champion(registry: Registry, name: str) -> int:
    """The champion's number; 0 if there is none."""
    return registry.state(name).aliases.get(CHAMPION, 0)


def _events(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as people read them."""
    now = datetime.now(UTC)
    return [
        {"event": event, "done": done_words(event), "numbers": numbers_words(event), "ago": ago(event.at, now)}
        for event in events
    ]


def _said(registry: Registry, name: str, events: Sequence[Event], number: int) -> str:
    """The outcome of a change that this page has just been led to by; empty without one."""
    event = next((event for event in events if event.number == number), None)
    if event is None or event.version not in event.after.versions or event is not events[-1]:
        return ""
    words = {What.PROMOTED: promoted_words, What.ROLLED_BACK: restored_words}.get(event.what)
    return words(registry, VersionName(name, event.version)) if words else ""


@router.get("/models/{name}/{which}")
def version_page(request: Request, state: State, name: str, which: str) -> HTMLResponse:
    """One version: its card, and what can be done with it."""
    registry = open_registry(state.settings.registry)
    version = _version(registry, name, which)
    now = registry.state(name)
    kept = {file: registry.training(*version, file) is not None for file in REPORT_FILES}
    shown = page(
        request,
        "web/model_card.html",
        card=card_of(read_manifest(registry.path(*version))),
        title=str(version),
        place=registry.place,
        version=next(one for one in _versions(registry, name) if one["version"] == version.version),
        champion=_champion(registry, name),
        others=sorted((other for other in now.versions if other != version.version), reverse=True),
        has_report=kept["report.html"],
        has_confusion=kept["confusion_matrix.png"],
    )
    return HTMLResponse(shown)


def _version(registry: Registry, name: str, which: str) -> VersionName:
    with _missing_is_404():
        return VersionName(name, registry.resolve(name, which))


@router.get("/models/{name}/{which}/report")
def report(state: State, name: str, which: str) -> Response:
    """The stored report of a version's training."""
    return stored_page(_kept(state, name, which, "report.html"))


@router.get("/models/{name}/{which}/classes.csv")
def classes(state: State, name: str, which: str) -> Response:
    """The figures of each class, to which the stored report links; it may show them, and download nothing."""
    return Response(_kept(state, name, which, "classes.csv"), media_type="text/plain; charset=utf-8")


@router.get("/models/{name}/{which}/confusion.png")
def confusion(state: State, name: str, which: str) -> Response:
    """The confusion matrix of a version, as its training drew it."""
    data = _kept(state, name, which, "confusion_matrix.png")
    if not data.startswith(_PNG):
        raise Problem(409, "Expected a PNG in confusion_matrix.png, the registry keeps something else there.")
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=600"})


def _kept(state: WebState, name: str, which: str, file: str) -> bytes:
    registry = open_registry(state.settings.registry)
    kept = registry.training(*_version(registry, name, which), file)
    if kept is None:
        raise Problem(404, f"Expected {file} of {name}@{which}, the registry keeps none; publish it again with --run.")
    return kept.read_bytes()


@router.post("/models/{name}/promote")
def promote(
    request: Request,
    state: State,
    name: str,
    version: Annotated[int, Form(ge=1)],
    instead_of: Annotated[int, Form(ge=0)],
    why: Why = "",
    who: Who = "",
    force: Annotated[bool, Form()] = False,
) -> JSONResponse:
    """Make a version the champion, if the champion is still the one that the page showed."""
    registry = open_registry(state.settings.registry)
    by = _by(request, who)
    event = registry.promote(name, version, _reason(why, needed=force), instead_of=instead_of, force=force, by=by)
    return _done(name, event, f"{name}@{version} is the champion already.")


@router.post("/models/{name}/rollback")
def roll_back(
    request: Request,
    state: State,
    name: str,
    instead_of: Annotated[int, Form(ge=1)],
    why: Why = "",
    who: Who = "",
) -> JSONResponse:
    """Restore the previous champion, if the champion is still the one that the page showed."""
    registry = open_registry(state.settings.registry)
    event = registry.rollback(name, why.strip(), instead_of=instead_of, by=_by(request, who))
    return _done(name, event, "")


def _reason(why: str, *, needed: bool) -> str:
    if needed and not why.strip():
        raise Problem(422, "Expected a reason to promote what a gate refused, for the history, got none.")
    return why.strip()


def _by(request: Request, who: str) -> str | None:
    """The name of the person who asks, where one was given."""
    name = who.strip() or reviewer_of(request)
    if not name.isprintable():
        raise Problem(422, "Expected a name of printable characters on one line.")
    return name or None


def _done(name: str, event: Event | None, before: str) -> JSONResponse:
    path = f"/models/{quote(name)}"
    return JSONResponse({"said": "" if event else before, "to": f"{path}?event={event.number}" if event else path})
