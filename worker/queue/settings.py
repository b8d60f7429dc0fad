"""Settings of workers and of ``hangtag submit``, such as Redis's URL."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url

from models.errors import InputError

TIME_LIMIT_S: Final = 7200
"""Seconds after which Celery ends a task. ``hangtag submit`` makes chunks small enough for this limit."""

_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_CHOICES: Final = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


class QueueSettings(BaseSettings):
    """Settings from the environment: ``HANGTAG_REDIS_URL`` and so on.

    ``grace_s``: seconds to finish chunks when a worker is stopped. ``heartbeat``: file that a running worker touches.
    """

    model_config = SettingsConfigDict(env_prefix="HANGTAG_", frozen=True, extra="ignore", hide_input_in_errors=True)

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)
    redis_password_file: Path | None = None
    jobs: str = Field(default="jobs", min_length=1)
    grace_s: float = Field(default=10.0, gt=0.0)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    heartbeat: Path | None = None

    @field_validator("redis_url")
    @classmethod
    def _is_read_alike(cls, url: str) -> str:
        """Refuse a URL that redis-py and kombu would read differently."""
        if not re.match(r"rediss?://[^/?]*(/\d*)?(\?|$)", url):
            msg = "expected redis://HOST:PORT/DATABASE, or rediss:// for TLS"
            raise ValueError(msg)
        parse_url(url)  # type: ignore[no-untyped-call]
        parts = urlsplit(url)
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            _check_tls_option(parts.scheme, name, value)
        return url

    @property
    def redis_name(self) -> str:
        """The URL without its user, password and options, for messages."""
        return url_name(self.redis_url)


def _check_tls_option(scheme: str, name: str, value: str) -> None:
    if scheme != "rediss" or name not in (*_TLS_FILES, *_TLS_CHOICES):
        msg = f"expected only TLS options, and only with rediss:// ({', '.join((*_TLS_FILES, *_TLS_CHOICES))})"
        raise ValueError(msg)
    if name in _TLS_FILES and not Path(value).is_file():
        msg = f"expected a file at {value} ({name}), found none"
        raise ValueError(msg)
    if name in _TLS_CHOICES and value not in _TLS_CHOICES[name]:
        msg = f"expected {name} to be {' or '.join(_TLS_CHOICES[name])}"
        raise ValueError(msg)


def url_name(url: str) -> str:
    """The URL without its user, password and options, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_settings(
    redis_url: str | None = None, jobs: str | None = None, metrics_port: int | None = None
) -> QueueSettings:
    """Settings from options, or else from the environment. The URL includes Redis's password. Raises InputError."""
    options: dict[str, object] = {"redis_url": redis_url, "jobs": jobs, "metrics_port": metrics_port}
    try:
        settings = QueueSettings(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        value = "" if name == "redis_url" else f", got {wrong['input']!r}"  # the URL may have a password
        why = wrong["msg"].removeprefix("Value error, ")
        msg = f"HANGTAG_{name.upper()} or its option is wrong ({why}){value}; see hangtag worker --help."
        raise InputError(msg) from error
    return _with_password(settings, settings.redis_password_file) if settings.redis_password_file else settings


def _with_password(settings: QueueSettings, file: Path) -> QueueSettings:
    parts, why = urlsplit(settings.redis_url), ""
    try:
        password = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        password, why = "", f" ({error.strerror if isinstance(error, OSError) else 'the file is not UTF-8 text'})"
    if parts.password is not None or not password or "\n" in password:
        msg = (
            f"Expected Redis's password as the only line of {file} (HANGTAG_REDIS_PASSWORD_FILE), and no password in "
            f"Redis's URL; check both{why}."
        )
        raise InputError(msg)
    user, _, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
    return settings.model_copy(update={"redis_url": url})
