"""Fixtures for the page's tests: servers in this process, with a test's own folders."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from web.app import create_app
from web.settings import WebSettings

ADDRESS = "http://127.0.0.1:8800"
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - made up
Serve = Callable[..., TestClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Opens clients of servers with these settings; a server's state is ``client.app.state.hangtag``."""
    with ExitStack() as opened:

        def served(**settings: Any) -> TestClient:
            own = {name: str(tmp_path / name) for name in ("jobs", "registry")}
            settings = {**own, "corrections": tmp_path / "corrections.csv", **settings}
            return opened.enter_context(TestClient(create_app(WebSettings(**settings)), ADDRESS))

        yield served


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token.txt"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def with_token(token_file: Path) -> dict[str, Any]:
    """Settings of a server for other machines."""
    return {"host": "0.0.0.0", "token_file": token_file}  # noqa: S104 - nothing listens there
