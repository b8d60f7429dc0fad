"""``hangtag beat``."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from models.errors import MissingExtraError
from worker.queue.options import LogFormat

__all__ = ["register"]

_NEEDED: Final = ("celery", "cronsim", "pydantic_settings", "redis")


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("beat")(beat_command)


def beat_command(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG", help="Settings of retrainings (TOML), each with a schedule.")
    ],
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Default: HANGTAG_REDIS_URL, or redis://127.0.0.1:6379/0.", show_default=False
        ),
    ] = None,
    heartbeat: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Touched every second. Default: HANGTAG_HEARTBEAT, or none.")
    ] = None,
    log: Annotated[
        LogFormat | None, typer.Option(help="Default: text on a terminal, json elsewhere.", show_default=False)
    ] = None,
) -> None:
    """Let retrainings run by their schedule, until told to stop; hangtag worker --queue train does the work.

    Any number of beats may run: each slot is claimed by one of them, and its cycle runs once. A cycle that died is
    started again. What was missed while no beat ran, runs once. Redis may lose everything. A config may be edited while
    it runs.

    Examples:

      hangtag beat retrain.toml

      hangtag beat shop.toml shoes.toml --redis redis://queue:6379/0
    """
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        msg = f"hangtag beat needs {', '.join(missing)}; install them with pip install 'hangtag[worker]'."
        raise MissingExtraError(msg)
    from trainer.schedule.scheduler import beat_until_told
    from worker.queue.settings import read_settings

    as_json = log is LogFormat.JSON if log else not os.isatty(2)
    beat_until_told(configs, read_settings(redis, heartbeat=heartbeat), as_json=as_json)
