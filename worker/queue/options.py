"""Options and settings of the queue's commands."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.queue.settings import QueueSettings

JobsOption = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        metavar="DIR",
        help="The folder of jobs that workers share, or its s3:// URL. Default: HANGTAG_JOBS, or jobs.",
        show_default=False,
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        help="Default: HANGTAG_REDIS_URL, or redis://127.0.0.1:6379/0.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """The options ``--jobs`` and ``--redis``."""

    jobs: JobsOption = None
    redis: RedisOption = None

    def settings(self) -> "QueueSettings":
        """:func:`queue_settings` of these options."""
        return queue_settings(self.redis, self.jobs)


def logs_json() -> bool:
    """Logs are JSON lines unless stderr is a terminal."""
    return not os.isatty(2)


def queue_settings(redis: str | None, jobs: str | None = None, metrics_port: int | None = None) -> "QueueSettings":
    """Settings from options, or else from the environment. Raises MissingExtraError or InputError."""
    needed = ("celery", "redis", "pydantic_settings", "prometheus_client")
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        from models.errors import MissingExtraError

        msg = f"The queue needs {', '.join(missing)}; install them with pip install 'hangtag[worker]'."
        raise MissingExtraError(msg)
    from worker.queue.settings import read_settings

    return read_settings(redis, jobs, metrics_port)
