"""``hangtag web`` and ``hangtag review``."""

from typing import Annotated

import typer

from models.options import takes
from web.settings import ReviewSettings, WebSettings


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line."""
    app.command("web")(web_command)
    app.command("review")(review_command)


@takes(settings=WebSettings)
def web_command(*, settings: WebSettings) -> None:
    """Serve the web page: try a model, watch jobs, review rows.

    Browsers on this machine need no login. To let other machines connect, set --host and --token-file.

    Examples:

      hangtag web

      hangtag web labels.parquet --model bundles/shop

      hangtag web --host 0.0.0.0 --token-file token.txt --redis redis://queue/0 --jobs /mnt/jobs
    """
    from web.serve import serve

    serve(settings)


@takes(settings=ReviewSettings)
def review_command(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A result of hangtag label, or the name of a queued job.")],
    audit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Review N random labeled rows, to measure the precision.",
            show_default=False,
        ),
    ] = None,
    *,
    settings: ReviewSettings,
) -> None:
    """Open a job's rows for review in the browser. Start the server if it is not running.

    Examples:

      hangtag review labels.parquet

      hangtag review spring --jobs /mnt/jobs

      hangtag review labels.parquet --audit 300
    """
    from web.serve import open_review

    open_review(settings, job, audit)
