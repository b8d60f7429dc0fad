"""``hangtag web`` and ``hangtag review``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.options import RegistryOption, takes
from models.reference import DEFAULT_REGISTRY, models_given

if TYPE_CHECKING:
    from web.settings import WebSettings

ModelOption = Annotated[
    list[str] | None,  # so that a second one is seen, and refused
    typer.Option(
        metavar="MODEL",
        help="The model to try. Default: the champion of the registry's only model.",
        show_default=False,
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="HOST", help="A host name that people open it by. May be given again.", show_default=False
    ),
]
RootPathOption = Annotated[
    str, typer.Option(metavar="PATH", help="What a proxy puts before every path, such as /hangtag.", show_default=False)
]
DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="A folder from which people may start jobs. May be given again. Default: everything that this user may "
        "read; with --token-file nothing.",
        show_default=False,
    ),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A host with a private address that URLs of /v1/classify and of jobs may name. May be given again.",
        show_default=False,
    ),
]
RateOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="The most requests that one address may send in a minute.")
]
OpenOption = Annotated[bool, typer.Option("--open/--no-open", help="Open it in this machine's browser.")]


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The options of both commands, as a person gave them."""

    host: Annotated[
        str, typer.Option(help="The address to listen on. Every address but a loopback address needs --token-file.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8800
    jobs: Annotated[
        str | None,
        typer.Option(help="The folder of jobs, or an s3:// URL. Default: HANGTAG_JOBS, or jobs.", show_default=False),
    ] = None
    registry: RegistryOption = DEFAULT_REGISTRY
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL",
            help="Where jobs are queued. Default: HANGTAG_REDIS_URL; without either, jobs run on this machine.",
            show_default=False,
        ),
    ] = None
    corrections: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the reviewers' answers are kept: what hangtag retrain reads.")
    ] = Path("corrections.csv")
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file with the token that browsers and programs must show.", show_default=False
        ),
    ] = None

    def settings(self, results: Sequence[Path], **own: Any) -> "WebSettings":  # noqa: ANN401 - each is a setting
        """The settings; what was not given for the queue comes from the environment."""
        from web.settings import WebSettings, read_token

        return WebSettings(
            host=self.host,
            port=self.port,
            jobs=self.jobs or os.environ.get("HANGTAG_JOBS") or "jobs",
            registry=self.registry,
            redis_url=self.redis or os.environ.get("HANGTAG_REDIS_URL"),
            corrections=self.corrections,
            token=read_token(self.token_file) if self.token_file else None,
            results=tuple(results),
            **own,
        )


def register(app: typer.Typer) -> None:
    """Add this room's commands to the one command line."""
    app.command("web")(web_command)
    app.command("review")(review_command)


@takes(server=ServerOptions)
def web_command(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RESULT]...", help="Results of hangtag label, whose jobs are shown, too.", show_default=False
        ),
    ] = None,
    *,
    server: ServerOptions,
    model: ModelOption = None,
    name: NameOption = None,
    root_path: RootPathOption = "",
    data: DataOption = None,
    allow_host: AllowHostOption = None,
    requests_per_minute: RateOption = 60_000,
    browser: OpenOption = False,
) -> None:
    """Serve the page: try a model, watch jobs, review doubtful rows.

    On this machine itself, nobody needs to log in. Any other address needs a token.

    Examples:

      hangtag web

      hangtag web labels.parquet --model bundles/shop

      hangtag web --host 0.0.0.0 --token-file token.txt --name shop.example --redis redis://queue/0 --jobs /mnt/jobs
    """
    from catalogue.urls import check_allow_hosts
    from web.serve import open_results, serve

    check_allow_hosts(allow_host or ())
    settings = server.settings(
        open_results(results or []),
        model=_one_model(model or []),
        names=tuple(name or ()),
        root_path=root_path.rstrip("/"),
        data=tuple(data or ()),
        allow_hosts=tuple(allow_host or ()),
        requests_per_minute=requests_per_minute,
    )
    serve(settings, browser=browser)


@takes(server=ServerOptions)
def review_command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A result of hangtag label, or the name of a queued job.")],
    audit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Review N labeled rows drawn at random instead: it measures the promised precision.",
            show_default=False,
        ),
    ] = None,
    *,
    server: ServerOptions,
    browser: OpenOption = True,
) -> None:
    """Open a job's doubtful rows in the browser; start the server if it does not run.

    Examples:

      hangtag review labels.parquet

      hangtag review spring --jobs /mnt/jobs

      hangtag review labels.parquet --audit 300
    """
    from web.serve import open_review

    results = [Path(job)] if Path(job).exists() else []
    open_review(server.settings(results), job, audit, browser=browser)


def _one_model(texts: list[str]) -> str | None:
    from models.errors import InputError

    if len(texts) > 1 or any(isinstance(models_given([text]), dict) for text in texts):
        msg = (
            f"Expected one --model without a name, since the page tries photos with one, got {', '.join(texts)}; give "
            "one of them. A new job on the page takes several models, each with a name, and so does hangtag label."
        )
        raise InputError(msg)
    return texts[0] if texts else None
