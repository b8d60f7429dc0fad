"""The commands' refusals, and the settings of the server."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from models.errors import InputError
from models.storage.storage import FolderStorage
from tests.command import run_hangtag
from tests.review_jobs import doubtful, labelled_job
from web.serve import _shows_job
from web.settings import WebSettings
from worker.job.job import open_job
from worker.label import job_folder
from worker.results.finish import finish_job


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8800"),
        ("0.0.0.0", "http://127.0.0.1:8800"),  # noqa: S104 - nothing listens there
        ("::", "http://[::1]:8800"),
        ("192.0.2.7", "http://192.0.2.7:8800"),
    ],
)
def test_the_address_that_is_said_can_be_opened(host: str, url: str, token_file: Path) -> None:
    assert WebSettings(host=host, token_file=token_file).url == url
    assert WebSettings(host=host, token_file=token_file, root_path="/hangtag/").url == f"{url}/hangtag"


def test_a_server_on_all_addresses_has_an_address_for_other_devices(token_file: Path) -> None:
    def elsewhere(host: str) -> str | None:
        return WebSettings(host=host, token_file=token_file, port=8801).url_elsewhere

    assert (elsewhere("127.0.0.1"), elsewhere("192.0.2.7")) == (None, None)
    address = elsewhere("0.0.0.0")  # noqa: S104 - nothing listens there
    assert address is None or (address.startswith("http://") and address.endswith(":8801")), "None without a network"


def test_review_says_that_a_server_with_a_token_may_show_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.handle_request, daemon=True).start()
        assert not _shows_job(WebSettings(port=server.server_port), "spring")
    assert f"127.0.0.1:{server.server_port} needs a token" in " ".join(capsys.readouterr().out.split())


def test_a_model_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    done = run_hangtag("web", "--model", tmp_path / "no-such-bundle")
    assert (done.returncode, done.stdout) == (InputError.exit_code, "")
    assert str(tmp_path / "no-such-bundle") in done.stderr


def test_corrections_that_cannot_be_written_are_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    corrections = tmp_path / "a file" / "corrections.csv"
    done = run_hangtag("web", "--corrections", corrections)
    assert (done.returncode, done.stdout) == (InputError.exit_code, "")
    assert str(corrections) in done.stderr


def test_a_port_that_a_person_chose_is_not_exchanged_for_another(tmp_path: Path) -> None:
    result = labelled_job(tmp_path / "job", doubtful(2))
    finish_job(open_job(FolderStorage(job_folder(result))))
    result.touch()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        port = busy.getsockname()[1]
        done = run_hangtag("review", result, "--port", port)
    assert done.returncode == InputError.exit_code
    assert f"127.0.0.1:{port}, got: Address already in use. Use another --port" in done.stderr
