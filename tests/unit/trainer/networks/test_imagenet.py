import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models.errors import InputError
from tests.unit.trainer.networks.test_architectures import MADE_BY
from trainer.networks.architectures import ImageNetFile, fetch, imagenet_file
from trainer.request import NamedWeights, NetworkChoice

ASK_KERAS = """
import json, sys, keras
for name, options in json.loads(sys.argv[1]):
    try:
        getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(224, 224, 3), **options)
    except Exception as error:
        print("asked:", error)
"""
"""Fails to download each file, and says which it was."""


def choose(arch, size, alpha=None):
    return NetworkChoice(arch, size, NamedWeights.IMAGENET, alpha)


EVERY = [choose(arch, 224, alpha) for arch in MADE_BY for alpha in arch.alphas or (None,)]
OUTERMOST = [choice for choice in EVERY if choice.alpha in (None, *choice.arch.alphas[:1], *choice.arch.alphas[-1:])]


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(OUTERMOST, id="narrowest and widest", marks=pytest.mark.rest),
        pytest.param(EVERY, id="every width", marks=pytest.mark.proof),
    ],
)
def test_keras_asks_for_the_same_files_with_the_same_digests(tmp_path, choices):
    """Keras finds a wrong file under each name and reports the expected digest; there is no network."""
    files = [imagenet_file(choice) for choice in choices]
    (tmp_path / "models").mkdir()
    for file in files:
        if file.md5:
            (tmp_path / "models" / file.name).write_bytes(b"something else")
    asked = [(MADE_BY[c.arch][0].__name__, {"alpha": c.alpha} if c.arch.alphas else {}) for c in choices]
    here = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", ASK_KERAS, json.dumps(asked)],
        env={**here, "KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("asked:")]
    assert len(said) == len(files)
    for line, file in zip(said, files, strict=True):
        assert f"URL fetch failure on {file.url}:" in line
    assert all(f"original value of {file.md5} " in done.stdout for file in files if file.md5)
    assert done.stdout.count("original value of") == sum(file.md5 is not None for file in files)


CONTENT = b"weights" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/gone.h5":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100])
        self.wfile.flush()
        if self.path == "/slow.h5":
            self.server.go_on.wait(10)
        if self.path != "/cut.h5":
            self.wfile.write(CONTENT[100:])

    def log_message(self, *_):
        """Log no requests."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.asked = []
        server.go_on = threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_file_is_downloaded_once(server, tmp_path, md5):
    file = ImageNetFile(f"{server.url}/body.h5", md5)
    for _ in range(2):
        path = fetch(file, tmp_path / "models", "mobilenet")
    assert path == tmp_path / "models" / "body.h5"
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/body.h5"]


def test_what_came_damaged_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(InputError, match=f"expected MD5 {'0' * 32}, got {MD5}"):
        fetch(ImageNetFile(f"{server.url}/body.h5", "0" * 32), tmp_path, "mobilenet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gone.h5", "cut.h5"])
def test_an_incomplete_download_is_reported_with_the_place_for_the_file(server, tmp_path, name):
    url = f"{server.url}/{name}"
    with pytest.raises(InputError) as caught:
        fetch(ImageNetFile(url), tmp_path, "mobilenet")
    said = str(caught.value)
    assert all(part in said for part in ("mobilenet", name, url, f"put it in {tmp_path},", "--weights FILE"))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_stands_still_is_given_up(server, tmp_path):
    with pytest.raises(InputError, match="timed out"):
        fetch(ImageNetFile(f"{server.url}/slow.h5"), tmp_path, "mobilenet", timeout_s=0.3)
    assert list(tmp_path.iterdir()) == []


def test_after_a_download_that_broke_off_the_next_begins_again(server, tmp_path):
    with pytest.raises(InputError, match=f"the download ended after 100 of {len(CONTENT):,} bytes"):
        fetch(ImageNetFile(f"{server.url}/cut.h5"), tmp_path, "mobilenet")
    assert fetch(ImageNetFile(f"{server.url}/body.h5", MD5), tmp_path, "mobilenet").read_bytes() == CONTENT


def test_a_changed_file_is_told_and_left_as_it_is(server, tmp_path):
    path = tmp_path / "body.h5"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=f"{path} differs from .*expected MD5 {MD5}.*download it again"):
        fetch(ImageNetFile(f"{server.url}/body.h5", MD5), tmp_path, "mobilenet")
    assert path.read_bytes() == CONTENT[:-1]
    assert server.asked == []


@pytest.fixture
def silent_url(monkeypatch):
    """A server that accepts connections and never answers."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/body.h5"


def test_a_network_that_swallows_everything_is_not_waited_for(silent_url, tmp_path):
    with pytest.raises(InputError, match="timed out"):
        fetch(ImageNetFile(silent_url), tmp_path, "mobilenet", timeout_s=0.1)
