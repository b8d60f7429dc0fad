"""``hangtag schedule``."""

from pathlib import Path
from typing import Annotated

import typer

from worker.queue.options import HeartbeatOption, LogOption, RedisOption, logs_json, queue_settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the one command line."""
    app.command("schedule")(schedule_command)


def schedule_command(
    configs: Annotated[
        list[Path], typer.Argument(metavar="CONFIG", help="Settings of retrainings (TOML), each with a schedule.")
    ],
    redis: RedisOption = None,
    heartbeat: HeartbeatOption = None,
    log: LogOption = None,
) -> None:
    """Let retrainings run by their schedule, until told to stop; hangtag worker --queue train does the work.

    Any number of these may run: each slot is claimed by one of them, and its cycle runs once. A cycle that died is
    started again. What was missed while none ran, runs once. Redis may lose everything. A config may be edited while it
    runs.

    Examples:

      hangtag schedule retrain.toml

      hangtag schedule shop.toml shoes.toml --redis redis://queue:6379/0
    """
    settings = queue_settings(redis, heartbeat=heartbeat)
    from trainer.schedule.scheduler import schedule_until_told

    schedule_until_told(configs, settings, as_json=logs_json(log))
