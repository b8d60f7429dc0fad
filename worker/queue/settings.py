"""What a worker, and who submits to it, must agree on."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url

from models.errors import InputError

__all__ = ["TIME_LIMIT_S", "QueueSettings", "read_settings"]

TIME_LIMIT_S: Final = 7200
"""Seconds after which Celery ends a task; no chunk takes that long, since ``submit`` makes them small enough."""


class QueueSettings(BaseSettings):
    """Read from the environment: ``HANGTAG_REDIS_URL`` and so on.

    Attributes:
        redis_url: ``redis://``, or ``rediss://`` for TLS.
        jobs: the folder of jobs, on a disk that submitters and workers share, or an ``s3://`` URL.
        grace_s: seconds that a worker has, once told to stop, to finish the chunks it has in hand.
        models_kept: how many models a process keeps loaded at once.
        metrics_port: where a worker serves its numbers; none where nobody asks.
        metrics_host: the address of this machine that it serves them at.
        heartbeat: a file that a worker touches as long as it works; none where nobody looks.
    """

    model_config = SettingsConfigDict(env_prefix="HANGTAG_", frozen=True, extra="ignore")

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^rediss?://")
    jobs: str = Field(default="jobs", min_length=1)
    grace_s: float = Field(default=10.0, gt=0.0)
    models_kept: int = Field(default=3, ge=1)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    heartbeat: Path | None = None

    @field_validator("redis_url")
    @classmethod
    def _leads_somewhere(cls, url: str) -> str:
        """Refuse what redis-py and kombu cannot both make sense of, such as a port that is no number."""
        parse_url(url)  # type: ignore[no-untyped-call]
        parts = urlsplit(url)
        if not re.fullmatch(r"(/\d*)?", parts.path):
            msg = "expected the number of a database after the last /"
            raise ValueError(msg)
        if not all(name.startswith("ssl_") for name, _ in parse_qsl(parts.query)):
            msg = "expected no options but ssl_… after the question mark"
            raise ValueError(msg)
        return url

    @property
    def redis_name(self) -> str:
        """The URL without its user, password and options, for messages."""
        parts = urlsplit(self.redis_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def redis_hint(self) -> str:
        """What to put after ``--redis`` in a command that we print."""
        return "…" if "@" in self.redis_url else self.redis_url


def read_settings(
    redis_url: str | None = None,
    jobs: str | None = None,
    *,
    metrics_port: int | None = None,
    metrics_host: str | None = None,
    heartbeat: Path | None = None,
) -> QueueSettings:
    """The environment's settings, but for what a person gave on the command line.

    Raises:
        InputError: one of them is not what it should be.
    """
    given = {
        "redis_url": redis_url,
        "jobs": jobs,
        "metrics_port": metrics_port,
        "metrics_host": metrics_host,
        "heartbeat": heartbeat,
    }
    try:
        return QueueSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        value = "" if name == "redis_url" else f", got {wrong['input']!r}"  # it may hold a password
        msg = f"HANGTAG_{name.upper()} or its option is wrong ({wrong['msg']}){value}; see hangtag worker --help."
        raise InputError(msg) from error
