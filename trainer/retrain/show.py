"""Runs a cycle for a person or a script at the command line."""

from pathlib import Path
from typing import Literal

from models.errors import ExitCode, StoppedError
from models.terminal import Console
from trainer.retrain.config import MlflowSettings, RetrainConfig, read_config
from trainer.retrain.cycle import CycleWish, retrain
from trainer.retrain.outcome import exit_code
from trainer.retrain.screen import CycleScreen, show_outcome

__all__ = ["retrain_and_show"]


def retrain_and_show(
    path: Path,
    *,
    when: Literal["data", "drift"],
    force: str | None,
    restart: bool,
    mlflow: str | None,
    as_json: bool,
) -> ExitCode:
    """Run a cycle, show it, and say how it ended."""
    config = _with_mlflow(read_config(path), mlflow)
    console = Console(stderr=as_json)
    wish = CycleWish(when=when, why="drift" if when == "drift" else "data", force=force, restart=restart)
    try:
        outcome = retrain(config, wish, CycleScreen(console))
    except KeyboardInterrupt as error:
        msg = "Stopped; what is done is kept, and hangtag retrain goes on from there."
        raise StoppedError(msg) from error
    show_outcome(outcome, config, console)
    if as_json:
        print(outcome.model_dump_json(indent=1))
    return exit_code(outcome.status)


def _with_mlflow(config: RetrainConfig, uri: str | None) -> RetrainConfig:
    if uri is None:
        return config
    settings = config.mlflow.model_copy(update={"uri": uri}) if config.mlflow else MlflowSettings(uri=uri)
    return config.model_copy(update={"mlflow": settings})
