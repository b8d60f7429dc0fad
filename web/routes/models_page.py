"""The pages that show, promote and roll back models."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from models.bundle import Bundle, read_manifest
from models.drift import ReferenceAnswers, read_reference
from models.errors import HangtagError, RegistryError
from models.manifest import Variant
from models.registry.history import CHAMPION, Event, What
from models.registry.registry import CYCLE_REPORT, REPORT_FILES, Registry, open_registry
from web.responses import Problem, page, reviewer_of, stored_page
from web.state import State, WebState
from worker.registry.show import (
    VersionName,
    accuracy_words,
    ago,
    done_words,
    numbers_words,
    promoted_words,
    restored_words,
    versions_of,
)

router = APIRouter(include_in_schema=False)

_CARD_FILE: Final = "README.md"
_MOST_BYTES: Final = 512 * 1024
_MOST_CLASSES: Final = 40
_NUMBER: Final = re.compile(r"text-align:\s*right")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
Why = Annotated[str, Form(max_length=2000)]
Who = Annotated[str, Form(max_length=64)]


@router.get("/models")
def models_page(request: Request, state: State) -> HTMLResponse:
    """All versions of all models."""
    models: dict[str, list[dict[str, Any]]] = {}
    faults: dict[str, str] = {}
    place = state.settings.registry
    try:
        registry = open_registry(place)
        for name in registry.names():
            try:
                models[name] = _versions(registry, name)
            except (HangtagError, OSError) as error:
                faults[name] = str(error)
    except (HangtagError, OSError) as error:
        faults[place] = str(error)
    return page(request, "web/models.html", models=models, faults=faults, registry=place)


def _versions(registry: Registry, name: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    versions = reversed(versions_of(registry, name))
    return [{**one, "accuracy_words": accuracy_words(one), "ago": ago(one["published_at"], now)} for one in versions]


@router.get("/models/{name}")
def model_page(request: Request, state: State, name: str, event: int = 0) -> HTMLResponse:
    """One model: versions and history."""
    registry = open_registry(state.settings.registry)
    with _missing_is_404():
        events = registry.history(name).events()
        versions = _versions(registry, name)
        previous = registry.previous_champion(name)
    return page(
        request,
        "web/model.html",
        name=name,
        registry=registry.place,
        versions=versions,
        champion=_champion(registry, name),
        previous=previous,
        events=_events(events)[::-1],
        outcome=_outcome(registry, name, events, event),
    )


@contextmanager
def _missing_is_404() -> Iterator[None]:
    try:
        yield
    except RegistryError as error:
        raise Problem(404, str(error)) from error


def _champion(registry: Registry, name: str) -> int:
    return registry.state(name).aliases.get(CHAMPION, 0)


def _events(events: Sequence[Event]) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {"event": event, "done": done_words(event), "numbers": numbers_words(event), "ago": ago(event.at, now)}
        for event in events
    ]


def _outcome(registry: Registry, name: str, events: Sequence[Event], number: int) -> str:
    event = next((event for event in events if event.number == number), None)
    if event is None or event.version not in event.after.versions or event is not events[-1]:
        return ""
    words = {What.PROMOTED: promoted_words, What.ROLLED_BACK: restored_words}.get(event.what)
    return words(registry, VersionName(name, event.version)) if words else ""


@router.get("/models/{name}/{which}")
def version_page(request: Request, state: State, name: str, which: str) -> HTMLResponse:
    """The model card of a version, and the form to promote the version."""
    registry = open_registry(state.settings.registry)
    version = _version(registry, name, which)
    kept = {file: registry.training(*version, file) is not None for file in (*REPORT_FILES, CYCLE_REPORT)}
    events = registry.history(version.model).events()
    return page(
        request,
        "web/model_card.html",
        card=card_of(read_manifest(registry.path(*version))),
        title=str(version),
        place=registry.place,
        version=next(one for one in _versions(registry, name) if one["version"] == version.version),
        champion=_champion(registry, name),
        events=_events([event for event in events if event.version == version.version])[::-1],
        has_cycle=kept[CYCLE_REPORT],
        has_report=kept["report.html"],
        has_confusion=kept["confusion_matrix.png"],
    )


def _version(registry: Registry, name: str, which: str) -> VersionName:
    with _missing_is_404():
        return VersionName(name, registry.resolve(name, which))


@router.get("/models/{name}/{which}/report")
def report(state: State, name: str, which: str) -> Response:
    """The stored report of a version's training."""
    return stored_page(_kept(state, name, which, "report.html"))


@router.get("/models/{name}/{which}/cycle")
def cycle_report(state: State, name: str, which: str) -> Response:
    """A version's stored training-cycle report."""
    return stored_page(_kept(state, name, which, CYCLE_REPORT))


@router.get("/models/{name}/{which}/classes.csv")
def classes(state: State, name: str, which: str) -> Response:
    """The metrics of each class, as plain text: links in the sandboxed report cannot start downloads."""
    return Response(_kept(state, name, which, "classes.csv"), media_type="text/plain; charset=utf-8")


@router.get("/models/{name}/{which}/confusion.png")
def confusion(state: State, name: str, which: str) -> Response:
    """The confusion matrix of a version, measured after its training."""
    data = _kept(state, name, which, "confusion_matrix.png")
    if not data.startswith(_PNG):
        raise Problem(
            409,
            "Expected a PNG in confusion_matrix.png, but the registry has another kind of file; publish the "
            "version again with --run.",
        )
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=600"})


def _kept(state: WebState, name: str, which: str, file: str) -> bytes:
    registry = open_registry(state.settings.registry)
    kept = registry.training(*_version(registry, name, which), file)
    if kept is None:
        todo = (
            "publish the version again with --run"
            if file in REPORT_FILES
            else "look in the folder of its training cycle"
        )
        raise Problem(404, f"Expected {file} of {name}@{which}, but the registry has none; {todo}.")
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
    """Make a version the champion, unless the champion has changed since the page was shown."""
    if force and not why.strip():
        raise Problem(422, "Expected a reason for promoting a version that a gate refused, got none.")
    registry = open_registry(state.settings.registry)
    by = _person(request, who)
    event = registry.promote(name, version, why.strip(), instead_of=instead_of, force=force, by=by)
    return _done(name, event)


@router.post("/models/{name}/rollback")
def roll_back(
    request: Request,
    state: State,
    name: str,
    instead_of: Annotated[int, Form(ge=1)],
    why: Why = "",
    who: Who = "",
) -> JSONResponse:
    """Restore the most recent former champion, unless the champion has changed since the page was shown."""
    registry = open_registry(state.settings.registry)
    event = registry.rollback(name, why.strip(), instead_of=instead_of, by=_person(request, who))
    return _done(name, event)


def _person(request: Request, who: str) -> str | None:
    name = who.strip() or reviewer_of(request)
    if not name.isprintable():
        raise Problem(422, "Expected a name of printable characters on one line.")
    return name or None


def _done(name: str, event: Event | None) -> JSONResponse:
    path = f"/models/{quote(name)}"
    return JSONResponse({"to": f"{path}?event={event.number}" if event else path})


class VariantRow(NamedTuple):
    """A variant of a model."""

    name: str
    variant: Variant
    bytes: int


class ClassRule(NamedTuple):
    """A class's threshold at the default precision. ``coverage``: fraction of the class's rows that need no review."""

    label: str
    threshold: float | None
    coverage: float | None
    rows: int


@dataclass(frozen=True)
class ModelCard:
    """The model card of a bundle.

    Attributes:
        classes: sorted by coverage, lowest first. Empty if the model has no default precision.
        reference: the model's answers on its proof photos.
        readme: HTML, or None.
    """

    bundle: Bundle
    default: Variant
    variants: tuple[VariantRow, ...]
    classes: tuple[ClassRule, ...]
    reference: ReferenceAnswers
    readme: Markup | None


def card_of(bundle: Bundle) -> ModelCard:
    """Read a bundle's model card. Raises BundleError."""
    manifest = bundle.manifest
    return ModelCard(
        bundle,
        manifest.variants[manifest.default_variant],
        tuple(
            VariantRow(name, variant, (bundle.path / variant.file).stat().st_size)
            for name, variant in sorted(manifest.variants.items(), key=lambda one: one[0] != manifest.default_variant)
        ),
        _class_rules(manifest.labels, manifest.variants[manifest.default_variant]),
        read_reference(bundle, manifest.default_variant),
        _readme(bundle),
    )


def _class_rules(labels: Sequence[str], variant: Variant) -> tuple[ClassRule, ...]:
    ruling = variant.ruling
    if ruling is None:
        return ()
    rules = map(ClassRule, labels, ruling.thresholds, ruling.class_coverage, ruling.rows)
    return tuple(sorted(rules, key=lambda rule: (rule.coverage or 0.0, rule.label))[:_MOST_CLASSES])


def _readme(bundle: Bundle) -> Markup | None:
    if _CARD_FILE not in bundle.manifest.files:
        return None
    bundle.check_place(_CARD_FILE)
    if (bundle.path / _CARD_FILE).stat().st_size > _MOST_BYTES:
        return None
    return card_html(bundle.read(_CARD_FILE).decode("utf-8", "replace"))


def card_html(text: str) -> Markup:
    """Markdown as safe HTML: tags appear as text, and links and pictures are disabled.

    Headings move down two levels: ``#`` becomes ``h3``.
    """
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    markdown.disable(["link", "autolink", "image", "reference", "html_block", "html_inline"])
    tokens = markdown.parse(text)
    for token in tokens:
        _tame(token)
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - the renderer escapes all text


def _tame(token: Token) -> None:
    style = str(token.attrs.pop("style", ""))
    token.attrs = {"class": "n"} if _NUMBER.search(style) else {}
    if token.type.startswith("heading_"):
        token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
