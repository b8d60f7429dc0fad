"""A Redis as ``docker/compose.yaml`` starts it: one user, its password in a file; and one more user for the test."""

import os
import shutil
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.queue.private_redis import PrivateRedis, redis_binary

ROOM = Path(__file__).parents[2] / "docker" / "redis"
PASSWORD = "p@ss:w/or d%41é?#&"  # noqa: S105 - characters with a meaning in URLs
ADMIN = "admin"


class GuardedRedis(PrivateRedis):
    """``docker/redis/start.sh`` with ``docker/redis/users.acl``."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(ROOM, folder / "room")
        with (folder / "room" / "users.acl").open("a") as users:
            users.write(f"user {ADMIN} on >{ADMIN} ~* &* +@all\n")
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n", encoding="utf-8")
        path = os.pathsep.join((str(Path(redis_binary()).parent), os.environ["PATH"]))
        start = ("env", f"PATH={path}", "sh", str(folder / "room" / "start.sh"), str(self.password_file), str(folder))
        super().__init__(folder / "data")
        self.options |= {"appendonly": "yes", "appendfsync": "always"}
        self.program = start

    @property
    def url(self) -> str:
        """For Hangtag's user; the password is in a file. Not database 0, so that it must be selected."""
        return f"redis://hangtag@127.0.0.1:{self.port}/1"

    @property
    def environment(self) -> dict[str, str]:
        return {"HANGTAG_REDIS_URL": self.url, "HANGTAG_REDIS_PASSWORD_FILE": str(self.password_file)}

    def client(self, user: str = "hangtag", password: str = PASSWORD) -> redis.Redis:
        """A connection of a user, or without a user if the password is empty; it does not retry."""
        known = {"username": user, "password": password} if password else {}
        return redis.Redis(port=self.port, db=1, **known, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def admin(self) -> redis.Redis:
        return self.client(ADMIN, ADMIN)
