"""Starts the server, or finds the one that runs, and opens a browser."""

import json
import signal
import socket
import threading
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from models.terminal import Console
from models.text import number_of
from web.settings import WebSettings

if TYPE_CHECKING:
    from web.watch_jobs import JobBoard

_ASK_S = 1.0
_PORTS = 20


def open_results(results: Sequence[Path]) -> tuple[Path, ...]:
    """Results of ``hangtag label`` whose jobs are beside them.

    Raises:
        InputError: one has no job.
    """
    for result in results:
        if result.suffix == ".job" and result.is_dir():
            msg = f"Expected a result of hangtag label, got its job's folder {result}; name {result.stem} beside it."
            raise InputError(msg)
        if not result.with_name(f"{result.name}.job").is_dir():
            msg = f"Expected the folder {result}.job beside the result {result}, found none; name another result."
            raise InputError(msg)
    return tuple(results)


def serve(settings: WebSettings, path: str = "", *, browser: bool) -> None:
    """Serve until somebody stops it.

    Args:
        settings: what a person asked for.
        path: of the page to name, and to open where ``browser`` says so.
        browser: whether to open it in this machine's browser once the server answers.

    Raises:
        InputError: the port is taken, nothing is at the model's path, or the corrections cannot be written.
        MissingExtraError: the packages of the extra ``web`` are missing.
    """
    uvicorn = _uvicorn()
    from models.bundle import read_manifest
    from web.app import create_app

    if settings.model and "@" not in settings.model and not Path(settings.model).is_file():
        read_manifest(Path(settings.model))  # an alias may come to be while the server runs, a path is a slip
    app = create_app(settings)
    app.state.hangtag.reviews.store.check()
    listener = _listener(settings)
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=3)
    signal.signal(signal.SIGTERM, _end)  # the server puts it back, and calls it once it has ended
    Console().say(f"Hangtag is at {settings.url}{path}")
    Console().say(places_words(settings))
    Console().say("Ctrl-C ends it.")
    if browser:
        _open_when_ready(settings, path or "/")
    _server(uvicorn, config, app.state.hangtag.board).run(sockets=[listener])


def places_words(settings: WebSettings) -> str:
    """What it serves, and where it keeps what people do: a wrong option shows at once."""
    from worker.queue.settings import url_name

    model = settings.model or _champion_words(settings.registry)
    jobs = settings.jobs
    if "://" not in jobs:
        jobs = str(Path(jobs).absolute()) + ("" if Path(jobs).is_dir() else " (not there yet)")
    queue = f", queued at {url_name(settings.redis_url)}" if settings.redis_url else ""
    return f"Model: {model}. Jobs: {jobs}{queue}. Corrections: {settings.corrections.absolute()}."


def _champion_words(registry: str) -> str:
    """Which model is tried if none is named."""
    from models.registry.registry import open_registry
    from models.registry.state import CHAMPION

    if "://" in registry:  # the start waits for no other machine
        return f"the champion of the only model in {registry}"
    if not Path(registry).is_dir():
        return f"no registry yet at {registry}"
    names = open_registry(registry).names()
    if len(names) == 1:
        return f"{names[0]}@{CHAMPION} of {registry}"
    many = f"; name one with --model, as in {names[0]}@{CHAMPION}" if names else ""
    return f"none, since {registry} has {number_of(len(names), 'model')}{many}"


def _server(uvicorn: Any, config: Any, board: "JobBoard") -> Any:  # noqa: ANN401 - the module, and what is of it
    """A server that ends at once, though browsers follow jobs."""

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            board.end()
            await super().shutdown(sockets)

    return Server(config)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def open_review(settings: WebSettings, job: str, audit: int | None, *, browser: bool) -> None:
    """Open a job's review in the server that runs and knows the job, or in a new one.

    Raises:
        InputError: there is no such job.
    """
    from catalogue.writers import OUTPUT_SUFFIXES
    from web.jobs import JobIndex

    if not settings.results and Path(job).suffix.lower() in OUTPUT_SUFFIXES:
        msg = f"Expected a result of hangtag label at {job}, found none; check the path."
        raise InputError(msg)
    index = JobIndex(settings.jobs, open_results(settings.results))
    found = next((known for known in index.all() if known.result in settings.results_absolute), None)
    found = found or index.find(job)
    id, page = found.id, "jobs" if found.questions else "review"  # whose page leads to the review of each question
    path = f"/{page}/{urllib.parse.quote(id)}" + (f"?audit={audit}" if audit else "")
    if _knows(settings, id):
        Console().say(f"Hangtag is at {settings.url}{path}")
        if browser:
            webbrowser.open(settings.url + path)
        return
    serve(_on_free_port(settings), path, browser=browser)


def _knows(settings: WebSettings, id: str) -> bool:
    """Whether a Hangtag at that address shows the job."""
    request = urllib.request.Request(f"{settings.url}/v1/jobs/{urllib.parse.quote(id)}")  # noqa: S310 - http, and ours
    if settings.token:
        request.add_header("Authorization", f"Bearer {settings.token}")
    try:
        with urllib.request.urlopen(request, timeout=_ASK_S) as answer:  # noqa: S310 - http, and ours
            return bool(json.load(answer).get("id") == id)
    except (OSError, ValueError):
        return False


def _on_free_port(settings: WebSettings) -> WebSettings:
    """The same with the next port that is free."""
    for port in range(settings.port, min(settings.port + _PORTS, 65_536)):
        tried = replace(settings, port=port)
        try:
            _listener(tried).close()
        except InputError:
            continue
        return tried
    msg = f"Expected a free port from {settings.port} on, found none; name one with --port."
    raise InputError(msg)


def _listener(settings: WebSettings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port), family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        )
    except OSError as error:
        said = f"the system answered {error.strerror}"
        msg = f"Expected to listen at {settings.host}:{settings.port}, {said}; name another --port."
        raise InputError(msg) from error


def _open_when_ready(settings: WebSettings, path: str) -> None:
    def wait() -> None:
        with socket.create_connection((settings.host, settings.port), timeout=30):
            webbrowser.open(settings.url + path)

    threading.Thread(target=wait, daemon=True).start()


def _uvicorn() -> Any:  # noqa: ANN401 - the module
    try:
        import fastapi  # noqa: F401 - said before anything starts
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        from models.errors import MissingExtraError

        msg = f"The web page needs {error.name}; pip install 'hangtag[web]'."
        raise MissingExtraError(msg) from error
    return uvicorn
