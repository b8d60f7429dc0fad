"""Whether a job of the champion has drifted, where only that is a reason to retrain."""

from collections.abc import Callable
from itertools import takewhile

from models.errors import InputError
from models.registry import Registry
from models.registry_history import CHAMPION
from trainer.retrain.config import RetrainConfig
from trainer.retrain.tools import Tools
from trainer.retrain.work import champion_of

__all__ = ["undrifted"]


def undrifted(config: RetrainConfig, registry: Registry, tools: Tools, note: Callable[[str], None]) -> str | None:
    """Why there is no reason to retrain; none where a job has drifted since the champion became that.

    Args:
        config: says where jobs are.
        registry: says who is champion.
        tools: look for drift.
        note: told of receipts that cannot be read, and are passed over.

    Raises:
        InputError: the settings do not say where jobs are, or there is no such folder.
    """
    if not config.drift.jobs:
        msg = 'Expected folders of jobs to look for drift in, got none; set jobs = ["jobs"] under [drift].'
        raise InputError(msg)
    champion = champion_of(registry, config.name)
    if not champion:
        return "there is no champion yet whose jobs could have drifted"
    history = registry.history(config.name)
    digest = history.state().versions[champion].digest
    reign = takewhile(lambda event: event.after.aliases.get(CHAMPION) == champion, reversed(history.events()))
    since = list(reign)[-1].at
    if tools.drifted_jobs(config.drift.jobs, digest, since, note):
        return None
    return f"no job of {config.name}@{champion} has drifted since {since}"
