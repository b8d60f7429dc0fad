"""MLflow's client, opened so that it says nothing to anybody but the server that was named, and shows no password."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from models.errors import HangtagError, InputError, MissingExtraError, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["mlflow_client", "server_name"]

_ALWAYS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it reports its use to its makers otherwise, from 3.2 on
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is the command's own
}
# Of its own accord MLflow tries a server that is away for minutes, and it is only told besides.
_UNLESS_SET: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextmanager
def mlflow_client(uri: str) -> "Iterator[MlflowClient]":
    """A client of a tracking server, which holds its registry, too.

    The environment is changed for as long as it is open: MLflow takes its settings from there, and a user and a
    password, too, so that the URI which it is given, prints and logs has none.

    Args:
        uri: such as ``http://mlflow:5000``; it may hold a user and a password.

    Raises:
        InputError: there is no URI.
        MissingExtraError: MLflow's client is not installed.
        TrackingError: whatever else goes wrong while it is open; the message has no password.
    """
    if not uri.strip():
        msg = "Expected the URI of an MLflow server, such as http://mlflow:5000, got nothing."
        raise InputError(msg)
    bare, credentials = _split(uri)
    with _environment({**_ALWAYS, **credentials, **{k: v for k, v in _UNLESS_SET.items() if k not in os.environ}}):
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            msg = f"Logging to MLflow needs its client ({error}); pip install 'hangtag[mlflow]'."
            raise MissingExtraError(msg) from error
        try:
            yield MlflowClient(tracking_uri=bare, registry_uri=bare)
        except HangtagError:
            raise
        except Exception as error:  # noqa: BLE001 - a server names the store of its artifacts: anything may be raised
            said = _without_secrets(" ".join(str(error).split()) or type(error).__name__, uri)
            msg = f"Expected MLflow at {server_name(uri)} to take what it is told, it did not: {said}"
            raise TrackingError(msg) from None  # what is behind it may hold the password


def server_name(uri: str) -> str:
    """The URI without its user, password and options, for messages."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """A server's URI without user and password, and where MLflow looks for these; a database's stays as it is."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or not parts.username:
        return uri, {}
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, {
        "MLFLOW_TRACKING_USERNAME": unquote(parts.username),
        "MLFLOW_TRACKING_PASSWORD": unquote(parts.password or ""),
    }


def _without_secrets(text: str, uri: str) -> str:
    parts = urlsplit(uri)
    userinfo = parts.netloc.rpartition("@")[0]
    for secret in (uri, userinfo, parts.password, unquote(parts.password or "")):
        if secret and secret != server_name(uri):
            text = text.replace(secret, server_name(uri) if secret == uri else "***")
    return text


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
