"""A retraining's settings that somebody may edit while a beat runs."""

import logging
from pathlib import Path

from models.errors import InputError
from trainer.retrain.config import RetrainConfig, read_config
from trainer.schedule.slots import Slots, slots_of
from worker.events import log_event

__all__ = ["WatchedConfig"]


class WatchedConfig:
    """The settings of a file, read again when it changes; as long as an edit cannot be used, the earlier ones hold.

    Args:
        path: of the file.

    Attributes:
        path: absolute.
        config: what it says.
        slots: when its cycle runs; none once ``[schedule]`` was taken out.

    Raises:
        InputError: it cannot be used, or has no ``[schedule]``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._stamp = self._looks()
        self.config = read_config(self.path)
        self.slots = _slots(self.config)
        if self.slots is None:
            msg = f'Expected [schedule] in {path}, such as cron = "0 3 * * 0"; found none: see docs/retraining.md.'
            raise InputError(msg)

    def refresh(self) -> bool:
        """Read it again if it changed, and say in the log what became of it; whether other settings hold now."""
        looks = self._looks()
        if looks == self._stamp:
            return False
        self._stamp = looks
        try:
            config = read_config(self.path)
            slots = _slots(config)
        except InputError as error:
            log_event("config_refused", logging.WARNING, config=str(self.path), error=str(error))
            return False
        self.config, self.slots = config, slots
        log_event("config_read", config=str(self.path), schedule=slots.text if slots else "none")
        return True

    def _looks(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _slots(config: RetrainConfig) -> Slots | None:
    return slots_of(config.schedule) if config.schedule else None
