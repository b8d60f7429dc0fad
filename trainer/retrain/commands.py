"""``hangtag retrain``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.errors import MissingExtraError

__all__ = ["retrain_command"]


class When(StrEnum):
    """What lets a cycle begin."""

    DATA = "data"
    DRIFT = "drift"


def retrain_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings: see docs/retraining.md.")],
    when: Annotated[
        When,
        typer.Option(help="data: whenever there is something new. drift: only if a job of the champion drifted, too."),
    ] = When.DATA,
    force: Annotated[
        bool, typer.Option("--force", help="Promote the challenger though the gate refuses it; --why must say why.")
    ] = False,
    why: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why the gate is overruled, for the registry's history.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Abandon a cycle that was stopped, and begin again with today's settings.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Log the cycle to this MLflow server, in place of the settings' own."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON on stdout; the progress goes to stderr.")
    ] = False,
) -> None:
    """Train a challenger on what is new, and make it the champion if it is no worse.

    Photos and corrections are collected, the splits extended (nothing moves), a challenger trained, exported and held
    against the champion on the same test photos; a gate promotes or refuses it. Stopped or killed, the same command
    goes on. The first model of a name is trained from nothing.

    Statuses: 0 promoted, 3 refused, 4 nothing new, 6 another cycle of this model runs, 130 stopped; 1, 2 and 5 as
    everywhere.

    Examples:

      hangtag retrain shop.toml

      From cron, with the outcome in a file:

        hangtag retrain /srv/shop.toml --json > outcome.json

      Only if the champion's jobs have drifted:

        hangtag retrain shop.toml --when drift

      Though the gate refuses:

        hangtag retrain shop.toml --force --why "shoes matter more"
    """
    if force and not (why or "").strip():
        msg = "--force overrules the gate: say why, with --why TEXT"
        raise typer.BadParameter(msg)
    if why is not None and not force:
        msg = "--why says why the gate is overruled: it goes with --force"
        raise typer.BadParameter(msg)
    try:
        from trainer.retrain.screen import retrain_and_show
    except ImportError as error:
        msg = f"hangtag retrain needs the packages that train ({error}); pip install 'hangtag[train]'."
        raise MissingExtraError(msg) from error

    raise typer.Exit(
        retrain_and_show(config, when=when.value, force=why, restart=restart, mlflow=mlflow, as_json=as_json)
    )
