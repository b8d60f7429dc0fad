"""The URL that leads to Redis, as redis-py and kombu both read it."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from redis.connection import parse_url

from models.errors import InputError

__all__ = ["check_url", "has_password", "url_name", "with_password"]

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
