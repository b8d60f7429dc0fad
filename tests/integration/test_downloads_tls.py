"""Photos over HTTPS: the host must be who it says, and stay with HTTPS."""

import datetime
import json
import os
import ssl
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.errors import ImageFault
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.source import photos_of

from .nasty_server import open_nasty_server, redirect

FETCH = """
import json, sys
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.source import photos_of
root, place, *urls = sys.argv[1:]
source = photos_of(photo_job(root, allow_hosts=(place,)))
source.want(wanted(*urls), {})
print(json.dumps([str(photo.outcome) for photo in take_all(source, len(urls))]))
source.close()
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that it signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_host_that_nobody_vouches_for_is_not_believed(tmp_path, tls):
    with open_nasty_server(tls) as server:
        source = photos_of(photo_job(tmp_path, allow_hosts=(server.place,)))
        source.want(wanted(f"https://{server.place}/a.jpg"), {})
        photo = take_all(source, 1)[0]
        source.close()
        assert server.requests == []
    assert photo.outcome.fault is ImageFault.DOWNLOAD
    assert "not who it says" in str(photo.outcome)


def test_https_stays_https(tmp_path, tls, certificate):
    with open_nasty_server(tls) as server, open_nasty_server() as plain:
        server.on("/down", redirect(plain.url("/a.jpg")))
        server.on("/across", redirect("/a.jpg"))
        urls = [f"https://{server.place}{path}" for path in ("/a.jpg", "/across", "/down")]
        done = subprocess.run(
            [sys.executable, "-c", FETCH, tmp_path, server.place, *urls],
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
            capture_output=True,
            text=True,
            check=True,
        )
        whole, across, down = json.loads(done.stdout)
        assert plain.requests == []
    assert (whole, across) == ("b'photo'", "b'photo'")
    assert "to redirect to https" in down
