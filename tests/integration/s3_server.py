"""A private S3 (moto in a separate process) that fails on demand: ``python s3_server.py`` prints its port.

It handles one request at a time, so that conditional writes are atomic, and ends with its stdin.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest

PAGE_KEYS = 5
_FAULTS = "/_faults"


class Kind(StrEnum):
    REFUSED = "refused"
    DONE_BUT_REFUSED = "done_but_refused"
    CUT_SHORT = "cut_short"
    CUT_SHORT_UNSIZED = "cut_short_unsized"
    """Like CUT_SHORT, without a Content-Length."""


@dataclass(frozen=True)
class Fault:
    method: str
    kind: Kind = Kind.REFUSED
    status: int = 500
    code: str = "InternalError"


@dataclass(frozen=True)
class S3Server:
    endpoint: str

    def fail(self, *faults: Fault) -> None:
        self._send("POST", _FAULTS, json.dumps([asdict(fault) for fault in faults]).encode())

    def faults_left(self) -> int:
        return len(json.loads(self._send("GET", _FAULTS)))

    def put(self, path: str, data: bytes = b"") -> None:
        self._send("PUT", path, data)

    def _send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/octet-stream"}
        with urlopen(Request(self.endpoint + path, data, headers, method=method), timeout=10) as answer:  # noqa: S310
            return answer.read()


@contextmanager
def open_s3_server() -> Iterator[S3Server]:
    environment = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE_KEYS)}
    process = subprocess.Popen(
        [sys.executable, Path(__file__)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.communicate(timeout=20)


def lead_to(endpoint: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the environment to an S3 with its credentials, and to no other; ``folder`` must not contain ``none``."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }.items():
        monkeypatch.setenv(name, value)


class _Failing:
    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._lock = Lock()
        self._faults: list[Fault] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            if environ["PATH_INFO"] == _FAULTS:
                return self._ordered(environ, start)
            fault = self._next(environ["REQUEST_METHOD"])
            if fault is None:
                return list(self._app(environ, start))
            return self._failed(fault, environ, start)

    def _ordered(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self._faults = [Fault(**{**fault, "kind": Kind(fault["kind"])}) for fault in json.loads(data)]
        start("200 OK", [])
        return [json.dumps([asdict(fault) for fault in self._faults]).encode()]

    def _next(self, method: str) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.method == method), None)
        if fault:
            self._faults.remove(fault)
        return fault

    def _failed(self, fault: Fault, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if fault.kind is Kind.CUT_SHORT:
            return _cut_short(list(self._app(environ, start)))
        if fault.kind is Kind.CUT_SHORT_UNSIZED:
            return [b"".join(self._app(environ, _without_length(start)))[:-1]]
        if fault.kind is Kind.DONE_BUT_REFUSED:
            list(self._app(environ, lambda *_: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        says = f"<Error><Code>{fault.code}</Code><Message>On order</Message></Error>".encode()
        body = says if fault.method != "HEAD" else b""
        start(f"{fault.status} Fault", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


def _without_length(start: Callable[..., Any]) -> Callable[..., Any]:
    def begin(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
        return start(status, [pair for pair in headers if pair[0].lower() != "content-length"], *rest)

    return begin


def _cut_short(body: list[bytes]) -> Iterator[bytes]:
    yield b"".join(body)[:-1]
    raise ConnectionError


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = _Failing(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
