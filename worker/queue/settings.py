"""What a worker, and who submits to it, must agree on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url

from models.errors import InputError

__all__ = ["TIME_LIMIT_S", "QueueSettings", "check_url", "has_password", "read_settings", "url_name", "with_password"]


_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHOICES: Final = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


def check_url(url: str) -> str:
    """The URL itself, if redis-py and kombu both make the same of it.

    Raises:
        ValueError: they do not, or a certificate that it names is not there.
    """
    parse_url(url)  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    if not re.fullmatch(r"(/\d*)?", parts.path):
        msg = "expected the number of a database after the last /"
        raise ValueError(msg)
    options = parse_qsl(parts.query, keep_blank_values=True)
    if options and parts.scheme != "rediss":
        msg = "expected rediss:// before options of TLS"
        raise ValueError(msg)
    for name, value in options:
        _check_option(name, value)
    return url


def _check_option(name: str, value: str) -> None:
    if name in _FILES:
        if not Path(value).is_file():
            msg = f"expected a file at {value}, which {name} names, found none"
            raise ValueError(msg)
        return
    if name not in _CHOICES:
        msg = f"expected no options after the question mark but {', '.join((*_FILES, *_CHOICES))}"
        raise ValueError(msg)
    if value not in _CHOICES[name]:
        msg = f"expected {name} to be {' or '.join(_CHOICES[name])}"
        raise ValueError(msg)


def has_password(url: str) -> bool:
    """Whether the URL holds a password."""
    return urlsplit(url).password is not None


def url_name(url: str) -> str:
    """The URL without its user, password and options, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def with_password(url: str, file: Path) -> str:
    """The URL with the password that a file holds, on one line.

    Raises:
        InputError: the file cannot be read, or holds no password.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user if at else ''}:{quote(_read_password(file), safe='')}@{host}"))


def _read_password(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        msg = f"Expected the password of Redis in {file}, which HANGTAG_REDIS_PASSWORD_FILE names, got: {why}."
        raise InputError(msg) from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        found = "more than one line" if password else "nothing"
        msg = f"Expected one line in {file}, which HANGTAG_REDIS_PASSWORD_FILE names: Redis's password; found {found}."
        raise InputError(msg)
    return password


TIME_LIMIT_S: Final = 7200
"""Seconds after which Celery ends a task; no chunk takes that long, since ``submit`` makes them small enough."""


class QueueSettings(BaseSettings):
    """Read from the environment: ``HANGTAG_REDIS_URL`` and so on.

    Attributes:
        redis_url: ``redis://``, or ``rediss://`` for TLS; with the password that the file holds, once it was read.
        redis_password_file: holds Redis's password, on one line; none where the URL says it, or Redis asks for none.
        jobs: the folder of jobs, on a disk that submitters and workers share, or an ``s3://`` URL.
        grace_s: seconds that a worker has, once told to stop, to finish the chunks it has in hand.
        models_kept: how many models a process keeps loaded at once.
        metrics_port: where a worker serves its numbers; none where nobody asks.
        metrics_host: the address of this machine that it serves them at.
        heartbeat: a file that a worker touches as long as it works; none where nobody looks.
    """

    model_config = SettingsConfigDict(env_prefix="HANGTAG_", frozen=True, extra="ignore", hide_input_in_errors=True)

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^rediss?://", repr=False)
    redis_password_file: Path | None = None
    jobs: str = Field(default="jobs", min_length=1)
    grace_s: float = Field(default=10.0, gt=0.0)
    models_kept: int = Field(default=3, ge=1)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    heartbeat: Path | None = None

    @field_validator("redis_url")
    @classmethod
    def _leads_somewhere(cls, url: str) -> str:
        return check_url(url)

    @property
    def redis_name(self) -> str:
        """The URL without its user, password and options, for messages."""
        return url_name(self.redis_url)

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
    """The environment's settings, but for what a person gave on the command line, with Redis's password in its URL.

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
    settings = _settings_of(given)
    if settings.redis_password_file is None:
        return settings
    if has_password(settings.redis_url):
        msg = (
            "Expected Redis's password in its URL or in the file that HANGTAG_REDIS_PASSWORD_FILE names, got both; "
            "take it out of the URL."
        )
        raise InputError(msg)
    return settings.model_copy(update={"redis_url": with_password(settings.redis_url, settings.redis_password_file)})


def _settings_of(given: Mapping[str, object]) -> QueueSettings:
    try:
        return QueueSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        value = "" if name == "redis_url" else f", got {wrong['input']!r}"  # it may hold a password
        msg = f"HANGTAG_{name.upper()} or its option is wrong ({wrong['msg']}){value}; see hangtag worker --help."
        raise InputError(msg) from error
