"""Whether a job of the champion has drifted, where only that is a reason to retrain."""

from models.errors import InputError
from models.registry import Registry
from models.registry_history import What
from trainer.retrain.config import RetrainConfig
from trainer.retrain.tools import Tools
from trainer.retrain.work import champion_of

__all__ = ["undrifted"]


def undrifted(config: RetrainConfig, registry: Registry, tools: Tools) -> str | None:
    """Why there is no reason to retrain; none where a job has drifted since the champion became that.

    Raises:
        InputError: the settings do not say where jobs are.
    """
    if not config.drift.jobs:
        msg = 'Expected folders of jobs to look for drift in, got none; set jobs = ["jobs"] under [drift].'
        raise InputError(msg)
    champion = champion_of(registry, config.name)
    if not champion:
        return "there is no champion yet whose jobs could have drifted"
    history = registry.history(config.name)
    digest = history.state().versions[champion].digest
    came = {What.PROMOTED, What.ROLLED_BACK}
    since = [event.at for event in history.events() if event.version == champion and event.what in came]
    if tools.drifted_jobs(config.drift.jobs, digest, since[-1]):
        return None
    return f"no job of {config.name}@{champion} has drifted since {since[-1]}"
