import os
from pathlib import Path

import pytest
import redis

from worker.queue.private_redis import PrivateRedis


def test_it_answers_and_ends_with_the_block(redis_installed, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        pid = server.pid
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert server.pid == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("append_only", ["no", "yes"])
def test_what_it_remembers_when_it_is_killed(redis_installed, tmp_path: Path, append_only: str) -> None:
    server = PrivateRedis(tmp_path / "redis")
    server.options |= {"appendonly": append_only, "appendfsync": "always"}
    with server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "b")
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.exists("a") == (append_only == "yes")
