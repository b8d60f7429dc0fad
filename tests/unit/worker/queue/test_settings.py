from pathlib import Path

import pytest

from models.errors import InputError
from worker.queue.settings import QueueSettings, read_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "JOBS", "GRACE_S", "MODELS_KEPT", "METRICS_PORT", "METRICS_HOST", "HEARTBEAT"):
        monkeypatch.delenv(f"HANGTAG_{name}", raising=False)


def test_without_an_environment_all_is_on_this_machine() -> None:
    assert read_settings() == QueueSettings(
        redis_url="redis://127.0.0.1:6379/0",
        jobs="jobs",
        grace_s=10.0,
        models_kept=3,
        metrics_port=None,
        metrics_host="127.0.0.1",
        heartbeat=None,
    )


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "REDIS_URL": "rediss://queue/1",
        "JOBS": "/mnt/jobs",
        "GRACE_S": "5",
        "MODELS_KEPT": "1",
        "METRICS_PORT": "9108",
        "METRICS_HOST": "::1",
        "HEARTBEAT": "/run/hangtag/heartbeat",
    }.items():
        monkeypatch.setenv(f"HANGTAG_{name}", value)
    assert read_settings() == QueueSettings(
        redis_url="rediss://queue/1",
        jobs="/mnt/jobs",
        grace_s=5.0,
        models_kept=1,
        metrics_port=9108,
        metrics_host="::1",
        heartbeat=Path("/run/hangtag/heartbeat"),
    )


def test_options_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGTAG_REDIS_URL", "redis://elsewhere/0")
    monkeypatch.setenv("HANGTAG_JOBS", "/mnt/jobs")
    settings = read_settings("redis://here/0")
    assert (settings.redis_url, settings.jobs) == ("redis://here/0", "/mnt/jobs")


WRONG = {
    "REDIS_URL": ["127.0.0.1:6379", "http://queue", "unix:///run/redis.sock", ""],
    "JOBS": [""],
    "GRACE_S": ["0", "soon"],
    "MODELS_KEPT": ["0", "1.5"],
    "METRICS_PORT": ["0", "65536", "http"],
    "METRICS_HOST": [""],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_setting_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HANGTAG_{name}", value)
    with pytest.raises(InputError, match=f"^HANGTAG_{name} or its option is wrong"):
        read_settings()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://queue:6379/0", "redis://queue:6379/0"),
        ("redis://:secret@queue:6379/0", "redis://queue:6379/0"),
        ("rediss://worker:secret@queue/1?ssl_cert_reqs=none", "rediss://queue/1"),
        ("redis://:se@cret@queue", "redis://queue"),
    ],
)
def test_messages_name_redis_without_its_password(url: str, name: str) -> None:
    assert QueueSettings(redis_url=url).redis_name == name


def test_a_mistyped_url_is_told_without_its_password() -> None:
    with pytest.raises(InputError) as caught:
        read_settings("rediss//:secret@queue:6379/0")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://queue:port/0",
        "redis://queue/0?password=secret",
        "redis://queue/0?socket_timeout=3",
        "redis://queue/abc",
        "redis://[queue/0",
        "redis://queue:99999/0",
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="HANGTAG_REDIS_URL"):
        read_settings(url)
