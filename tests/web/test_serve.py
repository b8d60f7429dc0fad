"""How ``hangtag web`` starts and ends."""

import signal
import subprocess
from pathlib import Path

import pytest

from models.bundle import read_manifest
from tests.command import HANGTAG, clean_environment
from tests.review_jobs import PIN, doubtful, labelled_job

from .conftest import StartServer
from .server import free_port


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_with_its_status(start_server: StartServer, sign: signal.Signals, status: int) -> None:
    server = start_server()
    assert server.stop(sign) == status
    assert server.log.read_text().startswith(f"Hangtag is at {server.url}\n")


@pytest.mark.parametrize("lone", [False, True])
def test_a_review_serves_the_model_of_its_job(tmp_path: Path, bundle: Path, *, lone: bool) -> None:
    model = bundle / "model.onnx" if lone else bundle
    pin = PIN.model_copy(update={"path": str(model), "digest": read_manifest(bundle).digest})
    result = labelled_job(tmp_path / "shop", doubtful(2), pin=pin)
    result.touch()
    words = [*HANGTAG, "review", str(result), "--port", str(free_port())]
    environment = clean_environment(BROWSER="true", PYTHONUNBUFFERED="1")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as server:
        assert server.stdout
        server.stdout.readline()
        assert server.stdout.readline().startswith(f"Model: {model}. ")
        server.terminate()
