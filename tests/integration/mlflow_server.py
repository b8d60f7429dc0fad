"""An MLflow server of our own, on a free port of this machine; it reports its use to nobody."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.until import until

_NEEDS = ("mlflow", "flask", "flask_cors", "sqlalchemy", "alembic", "gunicorn")
MISSING = next((f"No {name}; pip install 'hangtag[mlflow,dev]'." for name in _NEEDS if find_spec(name) is None), None)


@contextmanager
def open_mlflow_server(folder: Path) -> Iterator[str]:
    """Start one that keeps everything in a folder, and end it; its URL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", folder / "files"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *stores, "--gunicorn-opts", "--no-control-socket"],
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: process.poll() is not None or _answers(url), "MLflow's server to answer", within_s=90)
        assert process.poll() is None, (folder / "server.log").read_text()
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310 - our own server
            return answer.status == 200
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]
