"""``hangtag worker --queue train``: runs cycles, one at a time, where TensorFlow is."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from models.errors import MissingExtraError
from trainer.retrain.config import read_config
from trainer.schedule.app import make_train_app
from trainer.schedule.messages import QUEUE
from trainer.schedule.slot_run import SlotRun
from worker.events import log_event
from worker.queue.settings import QueueSettings
from worker.queue.start_worker import prepare_worker, run_worker
from worker.queue.worker_state import Heartbeat

__all__ = ["check_training", "start_train_worker"]

_NEEDED: Final = ("tensorflow", "keras", "sklearn")


def start_train_worker(
    settings: QueueSettings, configs: Sequence[Path] = (), *, as_json: bool, run: SlotRun | None = None
) -> int:
    """Run cycles that a beat asks for, until told to stop.

    SIGTERM: the cycle in hand is told to stop, has ``settings.grace_s`` to do so, and goes on at the next start.

    Args:
        settings: say where Redis is.
        configs: it runs cycles of these only. Without any, of each config that a slot was claimed for.
        as_json: log JSON lines instead of text.
        run: runs them. Default: ``hangtag retrain``, where what trains is installed.

    Returns:
        The exit status.

    Raises:
        MissingExtraError: what trains is not installed.
        InputError: a config cannot be used, or the heartbeat file.
    """
    if run is None:
        check_training()
        for config in configs:
            read_config(config)
        run = SlotRun(settings, configs=[str(config.absolute()) for config in configs])
    Heartbeat(settings.heartbeat).check()
    prepare_worker(as_json=as_json)
    log_event("train_worker_starts", redis=settings.redis_name, queue=QUEUE)
    return run_worker(make_train_app(settings, run), 1)


def check_training(find: Callable[[str], object] = find_spec) -> None:
    """Refuse to take what this machine cannot do.

    Raises:
        MissingExtraError: a package that training needs is not installed.
    """
    missing = [package for package in _NEEDED if find(package) is None]
    if missing:
        msg = (
            f"A worker of the queue train needs {', '.join(missing)}; pip install 'hangtag[train,worker]', "
            "or start it on a machine that has them."
        )
        raise MissingExtraError(msg)
