"""A server's settings: the options of ``hangtag web`` and ``hangtag review``."""

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from models.errors import InputError
from models.options import RegistryOption
from models.reference import DEFAULT_REGISTRY

DEFAULT_PORT = 8800
_SHORTEST_TOKEN = 16
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a token is needed
"""Maps the address of all interfaces to the loopback address for a browser."""


@dataclass(frozen=True, kw_only=True)
class ReviewSettings:
    """The options that ``hangtag web`` and ``hangtag review`` share."""

    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="The port to listen on. Default: 8800, or for hangtag review a free port if 8800 is in use.",
            show_default=False,
        ),
    ] = None
    jobs: Annotated[
        str, typer.Option(envvar="HANGTAG_JOBS", metavar="DIR", help="The folder of jobs, or an s3:// URL.")
    ] = "jobs"
    corrections: Annotated[
        Path, typer.Option(metavar="FILE", help="The file of reviewers' answers, which hangtag retrain reads.")
    ] = Path("corrections.csv")


@dataclass(frozen=True, kw_only=True)
class WebSettings(ReviewSettings):
    """The options of ``hangtag web``.

    Attributes:
        token: the text in ``token_file``. None without a file.
    """

    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESULT", help="Results of hangtag label to show.", show_default=False),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model to try. Default: the champion of the registry's only model.",
            show_default=False,
        ),
    ] = None
    registry: RegistryOption = DEFAULT_REGISTRY
    redis: Annotated[
        str | None,
        typer.Option(
            envvar="HANGTAG_REDIS_URL",
            metavar="URL",
            help="The queue for jobs. Default: this machine labels the jobs.",
            show_default=False,
        ),
    ] = None
    host: Annotated[
        str, typer.Option(help="The address to listen on. Any address other than loopback needs --token-file.")
    ] = "127.0.0.1"
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with the token. Browsers and programs must send this token.",
            show_default=False,
        ),
    ] = None
    root_path: Annotated[
        str,
        typer.Option(metavar="PATH", help="The proxy's path prefix, such as /hangtag.", show_default=False),
    ] = ""
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A folder that new jobs may read. Repeatable. Default: every folder; with --token-file, no folder.",
            show_default=False,
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Allow photos from this host, even if its address is not public. Repeatable.",
            show_default=False,
        ),
    ] = None
    token: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the token. Raises InputError if other machines could connect without a token."""
        object.__setattr__(self, "token", _read_token(self.token_file) if self.token_file else None)
        if not self.is_loopback and self.token is None:
            msg = (
                f"Expected --token-file with --host {self.host}, because other machines can reach that address; "
                "write a long random text into a file, and pass the file."
            )
            raise InputError(msg)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_personal(self) -> bool:
        """Whether only this machine's user can open the server. False with a token."""
        return self.token is None

    @property
    def root(self) -> str:
        """The prefix of every path, such as ``/hangtag``. May be empty."""
        return self.root_path.rstrip("/")

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host = _EVERY_ADDRESS.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port or DEFAULT_PORT}{self.root}"

    @property
    def url_elsewhere(self) -> str | None:
        """The address for other devices, if the server listens on all addresses."""
        if self.host not in _EVERY_ADDRESS:
            return None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
            try:
                route.connect(("192.0.2.1", 9))  # an address for examples; UDP's connect sends no packet
            except OSError:
                return None
            return f"http://{route.getsockname()[0]}:{self.port or DEFAULT_PORT}{self.root}"


def _read_token(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"Expected a token in {file}, but the file cannot be read: {error}."
        raise InputError(msg) from None
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or not token.isascii():
        msg = f"Expected one line of at least {_SHORTEST_TOKEN} ASCII characters in {file}; write a longer token."
        raise InputError(msg)
    return token
