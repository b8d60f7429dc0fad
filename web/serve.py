"""Starts the server, or finds the running server, and opens a browser."""

import json
import logging
import os
import resource
import signal
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import FrameType

from catalogue.urls import check_allow_hosts
from models.errors import InputError, MissingExtraError
from models.reference import models_given
from models.terminal import Console
from web.settings import DEFAULT_PORT, ReviewSettings, WebSettings

_ANSWER_S = 1.0
_FILES = 10_240
"""Limit of open files for this process. macOS allows no higher limit."""


def serve(settings: WebSettings, path: str | None = None) -> None:
    """Serve until stopped. Raises InputError or MissingExtraError.

    Args:
        settings: the server's settings.
        path: a page to open in this machine's browser. With ``path``, a free port replaces a busy default port.
    """
    _check_extra()
    from models.bundle import read_manifest
    from web.app import create_server
    from web.security import OnceAMinute

    check_allow_hosts(settings.allow_host or ())
    _check_results(settings.results or ())
    if settings.model and isinstance(models_given([settings.model]), dict):
        msg = f"Expected --model without NAME=, got {settings.model}."
        raise InputError(msg)
    if settings.model and "@" not in settings.model and not Path(settings.model).is_file():
        read_manifest(Path(settings.model))  # raises an error if the path has no bundle
    with closing(_listener(settings, any_port=path is not None and settings.port is None)) as listener:
        raise_limit_of_files()
        server = create_server(settings)
        for logger in ("uvicorn.error", "asyncio"):
            logging.getLogger(logger).addFilter(OnceAMinute())
        settings = replace(settings, port=listener.getsockname()[1])
        signal.signal(signal.SIGTERM, _end)  # uvicorn calls this handler when it ends
        Console().say(f"Hangtag is at {settings.url}{path or ''}")
        if other := settings.url_elsewhere:
            Console().say(f"On other devices: {other}, with the token in {settings.token_file}")
        Console().say(_places(settings))
        Console().say("Ctrl-C ends it.")
        if path:
            _open_when_ready(settings, path)
        server.run(sockets=[listener])


def raise_limit_of_files() -> None:
    """Let this process open as many files as the system allows, up to a limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _check_extra() -> None:
    try:
        import fastapi  # noqa: F401 - checks that the package is installed
        import itsdangerous  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        msg = f"The web page needs {error.name}; pip install 'hangtag[web]'."
        raise MissingExtraError(msg) from error


def _check_results(results: Iterable[Path]) -> None:
    for result in results:
        if result.suffix == ".job" and result.is_dir():
            msg = (
                f"Expected the output of hangtag label, got its job's folder {result}; pass the file "
                f"{result.stem} instead."
            )
            raise InputError(msg)
        if not result.with_name(f"{result.name}.job").is_dir():
            msg = f"Expected the folder {result}.job next to the result {result}, found none; pass another result."
            raise InputError(msg)


def _places(settings: WebSettings) -> str:
    from worker.queue.settings import url_name

    model = settings.model or f"the champion of the only model in {settings.registry}"
    jobs = settings.jobs
    if "://" not in jobs:
        jobs = str(Path(jobs).absolute()) + ("" if Path(jobs).is_dir() else " (not there yet)")
    queue = f", queued at {url_name(settings.redis)}" if settings.redis else ""
    return f"Model: {model}. Jobs: {jobs}{queue}. Corrections: {settings.corrections.absolute()}."


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def open_review(settings: ReviewSettings, job: str, audit: int | None) -> None:
    """Open a job's review. Starts a server if no running server has the job. Raises InputError."""
    from catalogue.writers import OUTPUT_SUFFIXES
    from web.jobs import JobIndex, result_id
    from worker.job.model import bundle_of

    is_result = Path(job).exists()
    if not is_result and Path(job).suffix.lower() in OUTPUT_SUFFIXES:
        msg = f"Expected the output of hangtag label at {job}, found none; check the path."
        raise InputError(msg)
    own = WebSettings(**vars(settings), results=[Path(job)] if is_result else None)
    _check_results(own.results or ())
    found = JobIndex(own.jobs, own.results or ()).find(result_id(Path(job)) if is_result else job)
    page = "jobs" if found.questions else "review"  # the job's page links to the review of each question
    path = f"/{page}/{urllib.parse.quote(found.id)}" + (f"?audit={audit}" if audit else "")
    if not _shows_job(own, found.id):
        bundle, lone = bundle_of(found.job), Path(found.job.model.path)
        model = bundle.path if bundle else lone if lone.is_file() else None
        serve(replace(own, model=str(model) if model else None), path)
        return
    Console().say(f"Hangtag is at {own.url}{path}")
    webbrowser.open(own.url + path)


def _shows_job(settings: WebSettings, id: str) -> bool:
    address = f"{settings.url}/v1/jobs/{urllib.parse.quote(id)}"
    try:
        with urllib.request.urlopen(address, timeout=_ANSWER_S) as answer:  # noqa: S310 - http, and ours
            return bool(json.load(answer).get("id") == id)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            Console().say(
                f"The running server at {settings.url} needs a token, so this command starts another server. If the "
                "running server shows this job, use that server: two servers may give the same photo to two people."
            )
        return False
    except (OSError, ValueError):
        return False


def _listener(settings: WebSettings, *, any_port: bool) -> socket.socket:
    port = settings.port or DEFAULT_PORT
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, port), family=family)
    except OSError as error:
        if any_port:
            return socket.create_server((settings.host, 0), family=family)
        reason = os.strerror(error.errno or 0)
        msg = f"Expected to listen at {settings.host}:{port}, got: {reason}. Use another --port."
        raise InputError(msg) from error


def _open_when_ready(settings: WebSettings, path: str) -> None:
    def wait() -> None:
        with socket.create_connection((settings.host, settings.port), timeout=30):
            webbrowser.open(settings.url + path)

    threading.Thread(target=wait, daemon=True).start()
