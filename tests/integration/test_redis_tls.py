"""Redis behind TLS, with certificates made here: only trusted connections work."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.command import clean_environment, run_hangtag
from tests.docker_files import ROOM
from tests.missing import skip_outside_ci
from worker.queue.private_redis import PrivateRedis, redis_binary

from .certificates import Authority, Certificate
from .cluster import Cluster
from .jobs import assert_same, photo_names, write_list


@pytest.fixture(scope="session")
def tls_installed(redis_installed: None) -> None:
    """Without a redis-server that speaks TLS, skip the test, or fail it in CI."""
    libraries = subprocess.run(["ldd", redis_binary()], capture_output=True, text=True, check=False).stdout
    skip_outside_ci(
        None
        if "libssl" in libraries
        else f"{redis_binary()} was built without TLS; install your system's redis-server."
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ours", "ours")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger") / "theirs", "theirs")


@contextmanager
def tls_redis(
    folder: Path, authority: Authority, certificate: Certificate, *, clients: bool = False
) -> Iterator[PrivateRedis]:
    """A Redis that speaks only TLS; ``clients`` requires a client certificate of the authority."""
    server = PrivateRedis(folder)
    server.options |= {
        "port": "0",
        "tls-port": str(server.port),
        "tls-cert-file": str(certificate.certificate),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(authority.file),
        "tls-auth-clients": "yes" if clients else "no",
    }
    with server:
        yield server


@pytest.fixture
def server(tls_installed: None, tmp_path: Path, authority: Authority) -> Iterator[PrivateRedis]:
    with tls_redis(tmp_path / "redis", authority, authority.vouch("server"), clients=True) as server:
        yield server


def url_of(
    server: PrivateRedis, authority: Authority, client: Certificate | None = None, host: str = "127.0.0.1"
) -> str:
    own = f"&ssl_certfile={client.certificate}&ssl_keyfile={client.key}" if client else ""
    return f"rediss://{host}:{server.port}/0?ssl_ca_certs={authority.file}{own}"


def test_submit_worker_watch_and_retry_work_with_client_certificates(
    server: PrivateRedis, authority: Authority, tmp_path: Path, catalogue: Path, bundle: Path, truth
) -> None:
    names = photo_names(catalogue, 300)
    photos = [*(str(catalogue / name) for name in names), str(tmp_path / "late.png")]
    source = write_list(tmp_path / "list.txt", photos)
    with closing(Cluster(tmp_path, server, url_of(server, authority, authority.vouch("client")))) as cluster:
        worker = cluster.worker()
        for command in (
            ("submit", str(source), "--model", str(bundle), "--image-root", "/", "--job", "spring"),
            ("jobs", "watch", "spring"),
            ("jobs", "retry-failed", "spring"),
            ("jobs", "watch", "spring"),
        ):
            done = cluster.hangtag(*command)
            assert done.returncode == 0, done.stderr
            if command[1] == "watch":
                (tmp_path / "late.png").write_bytes((catalogue / names[0]).read_bytes())
        assert not worker.events("cannot_reconcile")
        rows = cluster.job("spring").rows()
    assert_same(rows, [{"image": p, **truth[n]} for p, n in zip(photos, [*names, names[0]], strict=True)])


MISTAKES = {
    "authority": (lambda ours, theirs: (ours.vouch("server"), theirs), "self-signed certificate in certificate chain"),
    "host": (lambda ours, _: (ours.vouch("elsewhere", ("redis.example",)), ours), "IP address mismatch"),
    "expired": (lambda ours, _: (ours.vouch("expired", ends=timedelta(hours=-1)), ours), "certificate has expired"),
}
"""What the server shows, and whom the client trusts; and how it is told."""


@pytest.mark.parametrize(("mistake", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_server_that_cannot_be_trusted_is_refused_at_once(
    tls_installed: None,
    tmp_path: Path,
    authority: Authority,
    stranger: Authority,
    catalogue,
    bundle,
    mistake,
    said: str,
) -> None:
    certificate, trusted = mistake(authority, stranger)
    with tls_redis(tmp_path / "redis", authority, certificate) as server:
        url = url_of(server, trusted)
        jobs = tmp_path / "jobs"
        done = run_hangtag("submit", str(catalogue), "--model", str(bundle), "--jobs", str(jobs), "--redis", url)
        assert done.returncode == 1
        assert done.stderr.startswith(f"hangtag: Expected Redis at rediss://127.0.0.1:{server.port}/0, got: ")
        assert said in done.stderr
        assert "ssl_ca_certs" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not jobs.exists()


def test_other_machines_reach_the_redis_of_compose_with_the_scripts_secrets(
    tls_installed: None, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    for _ in range(2):  # what is there stays
        subprocess.run([ROOM / "make_secrets.sh", secrets, "localhost"], check=True)
    assert secrets.stat().st_mode & 0o777 == 0o700
    files = [yaml.safe_load((ROOM / name).read_text()) for name in ("compose.yaml", "compose.queue.yaml")]
    places = {"/etc/hangtag/start.sh": ROOM / "redis" / "start.sh", "/run/redis": tmp_path, "/data": tmp_path}
    for name, secret in (pair for file in files for pair in file["secrets"].items()):
        places[f"/run/secrets/{name}"] = secrets / secret["file"].removesuffix("}").rpartition("/")[2]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(places.get(word, word)) for word in files[1]["services"]["redis"]["entrypoint"]]
    command[command.index("--tls-port") + 1] = str(port)
    path = os.pathsep.join((str(Path(redis_binary()).parent), os.environ["PATH"]))
    server = PrivateRedis(tmp_path / "redis")
    server.program = ("env", f"PATH={path}", *command)
    with server:
        ca, password = secrets / "ca.pem", secrets / "redis_password"
        submit = ("submit", "none.csv", "--model", "none")  # Redis is asked first, then the model
        for url in (
            f"rediss://hangtag@localhost:{port}/0?ssl_ca_certs={ca}",
            f"redis://hangtag@127.0.0.1:{server.port}/0",
        ):
            env = clean_environment(HANGTAG_REDIS_URL=url, HANGTAG_REDIS_PASSWORD_FILE=str(password))
            done = run_hangtag(*submit, env=env)
            assert done.returncode == 2
            assert done.stderr.startswith("hangtag: Expected a bundle (a folder with manifest.json) at none")
        stranger = clean_environment(HANGTAG_REDIS_URL=f"rediss://hangtag@localhost:{port}/0?ssl_ca_certs={ca}")
        done = run_hangtag(*submit, env=stranger)
        assert done.returncode == 1, "Redis requires the password"
        assert done.stderr.startswith("hangtag: Expected Redis at")
