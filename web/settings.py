"""What ``hangtag web`` was started with."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import InputError
from models.reference import DEFAULT_REGISTRY

_SHORTEST_TOKEN = 16
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a token is needed
"""Addresses that mean all of this machine's, and can be opened by none → one that can."""


@dataclass(frozen=True)
class WebSettings:
    """The options of the server.

    Attributes:
        host: the address that it listens at.
        jobs: the folder of queued jobs, or an ``s3://`` URL; jobs that the page starts without Redis lie there too.
        redis_url: where jobs are queued; none if Redis is not used.
        results: results of ``hangtag label`` whose jobs are shown as well.
        model: for photos that somebody tries; the champion of the only model of the registry where it is not named.
        corrections: the file that answers of reviewers are kept in.
        token: what a client must know; none on a loopback address.
        names: host names that browsers may ask for, as well as its address.
        root_path: what a proxy puts before every path, as ``/hangtag``.
        data: folders of this machine that jobs may be made of; none lets it be all that its user may read, but with a
            token nothing.
        allow_hosts: ``HOST:PORT`` of the hosts that photos of the API may come from though their addresses are private.
        requests_per_minute: that one address may send, after a burst of as many as in ten seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8800
    jobs: str = "jobs"
    registry: str = DEFAULT_REGISTRY
    redis_url: str | None = None
    results: tuple[Path, ...] = ()
    model: str | None = None
    corrections: Path = Path("corrections.csv")
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    root_path: str = ""
    data: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    requests_per_minute: int = 60_000

    def __post_init__(self) -> None:
        """Refuse to serve other machines without a token.

        Raises:
            InputError: the host is no loopback address, and there is no token.
        """
        if not self.is_loopback and self.token is None:
            msg = (
                f"Expected --token-file with --host {self.host}, since other machines can reach that address; "
                "write a long random text into a file and name it."
            )
            raise InputError(msg)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_personal(self) -> bool:
        """Whether its user is this machine's: with a token, it is others who come through a proxy."""
        return self.is_loopback and self.token is None

    @property
    def results_absolute(self) -> tuple[Path, ...]:
        """The results, wherever a process stands."""
        return tuple(result.absolute() for result in self.results)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = _ANY.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}{self.root_path}"


def read_token(file: Path) -> str:
    """The token in a file.

    Raises:
        InputError: the file cannot be read, or holds no token that is long enough.
    """
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"Expected a token in {file}, it cannot be read: {error}."
        raise InputError(msg) from None
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or not token.isascii():
        msg = f"Expected one line of at least {_SHORTEST_TOKEN} ASCII characters in {file}; write a longer token."
        raise InputError(msg)
    return token
