import os
import traceback
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from models.errors import InputError
from worker.queue.app import HangtagCelery
from worker.queue.redis_state import connect
from worker.queue.settings import read_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HANGTAG_")]:
        monkeypatch.delenv(name)


WRONG = {
    "REDIS_URL": ["127.0.0.1:6379", "http://queue", "unix:///run/redis.sock", ""],
    "JOBS": [""],
    "GRACE_S": ["0", "soon"],
    "METRICS_PORT": ["0", "65536", "http"],
    "METRICS_HOST": [""],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_setting_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HANGTAG_{name}", value)
    with pytest.raises(InputError, match=f"HANGTAG_{name}"):
        read_settings()


@pytest.mark.parametrize(
    "url",
    [
        "redis://queue:port/0", "redis://queue/0?password=secret",
        "redis://queue/0?socket_timeout=3", "redis://queue/abc", "redis://[queue/0",
        "redis://queue:99999/0", "redis://queue/0?ssl_cert_reqs=none",
        "rediss://queue/0?ssl_cert_reqs=CERT_NONE", "rediss://queue/0?ssl_cert_reqs=",
        "rediss://queue/0?ssl_check_hostname=0", "rediss://queue/0?ssl_min_version=3",
        "rediss://queue/0?ssl_ca_certs=/nowhere.pem",
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere_or_is_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="HANGTAG_REDIS_URL"):
        read_settings(url)


@pytest.fixture
def password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HANGTAG_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    return tmp_path / "password"


@pytest.mark.parametrize("password", ["simple", "p@ss:w/or d%41é?#&[", " spaces "])
@pytest.mark.parametrize("user", ["hangtag", ""])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_password_of_a_file_reaches_redis_and_celery_as_it_is(password_file, password, user, end) -> None:
    password_file.write_text(password + end, encoding="utf-8", newline="")
    url = f"redis://{user}{'@' if user else ''}queue:6380/2"
    settings = read_settings(url)
    assert settings.redis_name == "redis://queue:6380/2"
    with HangtagCelery(settings) as app, app.connection() as broker, closing(connect(settings)) as client:
        told = client.connection_pool.connection_kwargs
        assert (told.get("username") or "", told["password"]) == (user, password)
        assert (broker.userid or "", broker.password) == (user, password)
        assert (told["host"], told["port"], told["db"]) == ("queue", 6380, 2)
        assert (broker.hostname, broker.port, broker.virtual_host) == ("queue", 6380, "2")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"one\ntwo\n", b"\xff\xfe\n"])
def test_a_file_without_a_password_is_refused(password_file: Path, content: bytes | None) -> None:
    if content is not None:
        password_file.write_bytes(content)
    with pytest.raises(InputError, match="HANGTAG_REDIS_PASSWORD_FILE") as caught:
        read_settings("redis://queue/0")
    assert str(password_file) in str(caught.value)
    assert "two" not in str(caught.value)


def test_a_wrong_url_shows_its_password_nowhere() -> None:
    password = uuid4().hex
    with pytest.raises(InputError) as caught:
        read_settings(f"redis://hangtag:{password}@queue/abc")
    assert password not in "".join(traceback.format_exception(caught.value))


def test_settings_that_are_printed_show_no_password(password_file: Path) -> None:
    password_file.write_text("se/cret")
    assert "se%2Fcret@" in read_settings().redis_url
    assert "cret@" not in f"{read_settings()!r} {read_settings()}"
