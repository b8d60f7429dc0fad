"""Photos over HTTPS: the certificate must match the host, and redirects must keep HTTPS."""

import json
import os
import ssl
import subprocess
import sys

import pytest

from models.errors import ImageFault
from tests.photo_jobs import photo_job, photo_requests, take_all
from worker.job.job import photos_of

from .certificates import Authority
from .nasty_server import open_nasty_server, redirect

FETCH = """
import json, sys
from tests.photo_jobs import photo_job, take_all, photo_requests
from worker.job.job import photos_of
root, place, *urls = sys.argv[1:]
source = photos_of(photo_job(root, allow_hosts=(place,)))
source.request(photo_requests(*urls), {})
print(json.dumps([str(photo.outcome) for photo in take_all(source, len(urls))]))
source.close()
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours", "ours")


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    context, own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), authority.vouch("server")
    context.load_cert_chain(own.certificate, own.key)
    return context


def test_a_host_that_nobody_vouches_for_is_not_believed(tmp_path, tls):
    with open_nasty_server(tls) as server:
        source = photos_of(photo_job(tmp_path, allow_hosts=(server.place,)))
        source.request(photo_requests(f"https://{server.place}/a.jpg"), {})
        photo = take_all(source, 1)[0]
        source.close()
        assert server.requests == []
    assert photo.outcome.fault is ImageFault.DOWNLOAD
    assert "certificate is not valid" in str(photo.outcome)


def test_https_stays_https(tmp_path, tls, authority):
    with open_nasty_server(tls) as server, open_nasty_server() as plain:
        server.on("/down", redirect(plain.url("/a.jpg")))
        server.on("/across", redirect("/a.jpg"))
        urls = [f"https://{server.place}{path}" for path in ("/a.jpg", "/across", "/down")]
        done = subprocess.run(
            [sys.executable, "-c", FETCH, tmp_path, server.place, *urls],
            env={**os.environ, "SSL_CERT_FILE": str(authority.file)},
            capture_output=True,
            text=True,
            check=True,
        )
        whole, across, down = json.loads(done.stdout)
        assert plain.requests == []
    assert (whole, across) == ("b'photo'", "b'photo'")
    assert "to redirect to https" in down
