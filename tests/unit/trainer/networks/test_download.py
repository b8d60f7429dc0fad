import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models.errors import InputError
from trainer.networks.imagenet import ImageNetFile, fetch

CONTENT = b"weights" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/gone.h5":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/cut.h5" else CONTENT)

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_url(monkeypatch):
    """A server that takes calls and never answers."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/body.h5"


@pytest.mark.parametrize("digest", [MD5, SHA256, None])
def test_a_file_is_downloaded_once(server, tmp_path, digest):
    file = ImageNetFile(f"{server.url}/body.h5", digest)
    for _ in range(2):
        path = fetch(file, tmp_path / "models", "vgg16")
    assert path == tmp_path / "models" / "body.h5"
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/body.h5"]


def test_what_came_damaged_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(InputError, match=f"expected MD5 {'0' * 32}, got {MD5}"):
        fetch(ImageNetFile(f"{server.url}/body.h5", "0" * 32), tmp_path, "vgg16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gone.h5", "cut.h5"])
def test_what_does_not_come_whole_is_told_with_where_to_put_it(server, tmp_path, name):
    url = f"{server.url}/{name}"
    with pytest.raises(InputError) as caught:
        fetch(ImageNetFile(url), tmp_path, "vgg16")
    said = str(caught.value)
    assert all(part in said for part in ("vgg16", name, url, f"put it in {tmp_path},", "--weights FILE"))
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_swallows_everything_is_not_waited_for(silent_url, tmp_path):
    with pytest.raises(InputError, match="timed out"):
        fetch(ImageNetFile(silent_url), tmp_path, "vgg16", timeout_s=0.1)


def test_a_changed_file_is_told_and_left_as_it_is(server, tmp_path):
    path = tmp_path / "body.h5"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=f"{path} is not what .*expected SHA256 {SHA256}.*get it anew"):
        fetch(ImageNetFile(f"{server.url}/body.h5", SHA256), tmp_path, "vgg16")
    assert path.read_bytes() == CONTENT[:-1]
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_told(server, tmp_path):
    (tmp_path / "models").touch()
    with pytest.raises(InputError, match=r"File exists|Not a directory"):
        fetch(ImageNetFile(f"{server.url}/body.h5"), tmp_path / "models", "vgg16")
