"""What a worker, and who submits to it, must agree on."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import InputError

__all__ = ["TIME_LIMIT_S", "QueueSettings", "read_settings"]

TIME_LIMIT_S: Final = 3600
"""Seconds after which Celery ends a task; no chunk takes that long, since ``submit`` makes them small enough."""


class QueueSettings(BaseSettings):
    """Read from the environment: ``HANGTAG_REDIS_URL`` and so on.

    Attributes:
        redis_url: ``redis://``, ``rediss://`` (TLS) or ``unix://``.
        jobs: the folder of jobs, on a disk that submitters and workers share, or an ``s3://`` URL.
        grace_s: seconds that a worker has, once told to stop, to finish the chunks it has in hand.
        models_kept: how many models a process keeps loaded at once.
    """

    model_config = SettingsConfigDict(env_prefix="HANGTAG_", frozen=True, extra="ignore")

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://")
    jobs: str = Field(default="jobs", min_length=1)
    grace_s: float = Field(default=20.0, gt=0.0)
    models_kept: int = Field(default=3, ge=1)

    @property
    def redis_name(self) -> str:
        """The URL without its password, for messages."""
        parts = urlsplit(self.redis_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def read_settings(redis_url: str | None = None, jobs: str | None = None) -> QueueSettings:
    """The environment's settings, but for what a person gave on the command line.

    Raises:
        InputError: one of them is not what it should be.
    """
    given = {"redis_url": redis_url, "jobs": jobs}
    try:
        return QueueSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        msg = f"HANGTAG_{name.upper()} or its option is wrong ({wrong['msg']}), got {wrong['input']!r}."
        raise InputError(msg) from error
