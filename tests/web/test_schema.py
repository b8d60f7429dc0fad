"""The API follows its description: schemathesis sends random requests.

schemathesis is imported inside functions: each process of a test run imports this module, but only one needs it.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.until import until
from web.app import create_app
from web.jobs import result_id
from web.settings import WebSettings

from .server import copy_job

MANY = 400
_SETTINGS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "phases": (Phase.explicit, Phase.generate),
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(scope="module")
def api(bundle: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """The API description of a server with a model and a finished job, and a client. No other place may be read.

    The client keeps the server on one event loop, as in production.
    """
    import schemathesis
    from schemathesis.python import asgi

    folder = tmp_path_factory.mktemp("schema")
    result = copy_job(finished, folder / "result")
    places = {"jobs": str(folder / "jobs"), "registry": str(folder / "none"), "corrections": folder / "corrections.csv"}
    app = create_app(WebSettings(**places, model=str(bundle), results=[result], data=[folder]))
    with asgi.get_client(app) as client:
        until(lambda: client.get("http://127.0.0.1/readyz").ok, "the model answers")
        described = schemathesis.openapi.from_asgi("/openapi.json", _running(app))
        described.hook("map_path_parameters")(lambda _context, given: _of_job(given, result_id(result)))
        yield described, client


def _running(app: ASGIApp) -> ASGIApp:
    """The application under 127.0.0.1 without its lifespan, which the fixture runs; schemathesis would repeat it."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            headers = [(name, b"127.0.0.1" if name == b"host" else value) for name, value in scope["headers"]]
            await app({**scope, "headers": headers}, receive, send)
            return
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    return serve


def _of_job(given: dict[str, Any] | None, job: str) -> dict[str, Any] | None:
    """Send half of the requests to the finished job."""
    if given and "id" in given and len(str(given["id"])) % 2:
        return {**given, "id": job}
    return given


def check_all(api: tuple[Any, Any], examples: int) -> None:
    from schemathesis import Case, GenerationMode
    from schemathesis.checks import load_all_checks, not_a_server_error
    from schemathesis.specs.openapi import checks

    load_all_checks()
    conformance = (checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance)
    all_checks = [not_a_server_error, *conformance, checks.unsupported_method]

    described, client = api
    for found, mode in product(described.get_all_operations(), GenerationMode):

        @settings(**_SETTINGS, max_examples=examples)
        @given(case=found.ok().as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            case.call_and_validate(checks=all_checks, session=client)

        with suppress(Unsatisfiable):  # an operation without parameters has only one request
            check()


def test_no_request_is_a_fault_of_the_server(api: tuple[Any, Any]) -> None:
    check_all(api, 8)


@pytest.mark.proof
def test_of_many_requests_none_is_a_fault_of_the_server(api: tuple[Any, Any]) -> None:
    check_all(api, MANY)
