import os
from pathlib import Path

import pytest
import redis

from models.errors import JobError
from worker.queue.private_redis import PrivateRedis, redis_binary


def test_it_answers_and_ends_with_the_block(redis_installed, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        pid = server.pid
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert server.pid == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("append_only", [False, True])
def test_what_it_remembers_when_it_is_killed(redis_installed, tmp_path: Path, append_only: bool) -> None:
    with PrivateRedis(tmp_path / "redis", append_only=append_only) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "b")
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.exists("a") == append_only


def false_server(folder: Path) -> Path:
    """A server that ends at once."""
    binary = folder / "redis-server"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\nexit 1\n")
    binary.chmod(0o755)
    return binary


def test_the_server_of_the_system_goes_before_that_of_an_activated_environment(tmp_path, monkeypatch) -> None:
    wheel, system = false_server(tmp_path / "venv"), false_server(tmp_path / "bin")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(wheel.parent))
    monkeypatch.setenv("PATH", os.pathsep.join((str(wheel.parent), str(system.parent))))
    assert redis_binary() == str(system)


def test_a_server_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = false_server(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(binary.parent))
    assert redis_binary() == str(binary)
    server = PrivateRedis(tmp_path / "redis")
    with pytest.raises(JobError, match=r"Expected redis-server to answer at port \d+, it did not; see .*redis\.log"):
        server.start()
    assert server.pid == 0
