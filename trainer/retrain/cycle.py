"""The cycle: collects photos, trains a challenger, compares it with the champion, and promotes or refuses it.

A killed cycle continues at the next call. Only one cycle of a model runs at a time.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from pydantic import ValidationError

from models.errors import BusyError, DataError, HangtagError, InputError, ParityError
from models.registry.registry import open_registry
from models.storage.storage import Storage
from models.whole_file import open_lock, replace_file
from trainer.retrain.begin import NewCycle, champion_of
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder, Cycles, CycleStart, CycleStatus, Outcome, now_text
from trainer.retrain.steps import STEPS
from trainer.retrain.tools import CycleTools, RunningCycle

if TYPE_CHECKING:
    from trainer.train import TrainingView

_LOCK: Final = ".cycle.lock"


class CycleView(Protocol):
    """Shows the progress of a cycle."""

    def note(self, line: str) -> None:
        """Show a remark."""

    def step(self, name: str, title: str) -> "AbstractContextManager[TrainingView]":
        """Begin a step. The context manager yields a view of the step's progress."""


@dataclass(frozen=True)
class CycleOptions:
    """Options of one call of ``hangtag retrain``.

    ``when``: with ``drift``, begin only if a job of the champion has drifted, too. ``restart``: abandon an unfinished
    cycle, unless its challenger is already published.
    """

    when: Literal["data", "drift"] = "data"
    restart: bool = False


def retrain(config: RetrainConfig, options: CycleOptions, view: CycleView, tools: CycleTools | None = None) -> Outcome:
    """Run a complete cycle, or continue an unfinished cycle.

    Raises BusyError if another process runs a cycle of this model, and StoppedError after Ctrl-C. A permanent error
    ends the cycle. After any other error, the next call continues the cycle.
    """
    registry, cycles, tools = open_registry(config.registry), Cycles(config.folder), tools or CycleTools()
    with only_cycle(registry.model_storage(config.name)):
        folder = _unfinished(config, cycles, options, view)
        if folder is None:
            new = NewCycle(config, registry, cycles, tools)
            undrifted = new.undrifted(view.note) if options.when == "drift" else None
            folder = None if undrifted else _begin(new, options, view)
            if folder is None:
                unchanged = "no new photos or corrections, and unchanged settings in [train]"
                return _nothing(config.name, champion_of(registry, config.name), undrifted or unchanged)
        start = folder.read(folder.start, CycleStart)
        work = RunningCycle(folder, start, _settings_of(folder), registry, tools, view.note)
        _finish(work, view)
        cycles.lighten(config.keep)
        return folder.read(folder.outcome, Outcome)


@contextmanager
def only_cycle(model: Storage) -> Iterator[None]:
    """Hold a model's lock, or raise BusyError. The kernel releases the lock of a killed process.

    The lock is a POSIX record lock, because child processes would inherit a ``flock``. It also works between machines
    that share the disk by NFS.
    """
    model.scratch.mkdir(parents=True, exist_ok=True)
    with open_lock(model.scratch / _LOCK) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            msg = (
                f"The model in {model.place} is being retrained by {file.read()}; wait until that process ends, or "
                "stop it."
            )
            raise BusyError(msg) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now_text()}")
        file.flush()
        yield


def _unfinished(config: RetrainConfig, cycles: Cycles, options: CycleOptions, view: CycleView) -> CycleFolder | None:
    folder = cycles.unfinished()
    if folder is None:
        return None
    if options.restart and not folder.published.is_file():
        folder.abandon("abandoned by --restart")
        view.note(f"Cycle {folder.path.name} is abandoned.")
        return None
    start = folder.read(folder.start, CycleStart)
    began, now = (start.name, start.config.get("registry")), (config.name, config.registry)
    if began != now:  # the lock is for one model in one registry
        msg = (
            f"Expected cycles of {now[0]} (registry {now[1]}) in the folder {cycles.path}, found an unfinished cycle "
            f"of {began[0]} (registry {began[1]}); use a separate folder for each model and registry, or abandon the "
            "unfinished cycle with --restart."
        )
        raise InputError(msg)
    view.note(f"Continues cycle {folder.path.name}, started at {start.started}.")
    if start.config != config.model_dump(mode="json"):
        view.note(
            "The settings have changed; the cycle keeps the settings with which it started "
            "(--restart abandons the cycle)."
        )
    return folder


def _begin(new: NewCycle, options: CycleOptions, view: CycleView) -> CycleFolder | None:
    notes: list[str] = []
    began = time.monotonic()
    with view.step("collect", "Collect photos and corrections") as progress:
        folder = new.begin(options.when, notes.append, progress)
    for line in notes:
        view.note(line)
    if folder is not None:
        _add_seconds(folder, "collect", began)
    return folder


def _settings_of(folder: CycleFolder) -> RetrainConfig:
    try:
        return RetrainConfig.model_validate(folder.read(folder.start, CycleStart).config)
    except ValidationError as error:
        msg = f"{folder.start} has settings of another version of Hangtag; abandon the cycle with --restart."
        raise InputError(msg) from error


def _finish(work: RunningCycle, view: CycleView) -> None:
    while step := next((step for step in STEPS if not step.done(work)), None):
        began = time.monotonic()
        try:
            with view.step(step.name, step.title) as progress:
                step.do(work, progress)
        except HangtagError as error:
            _fail(work, error)
            raise
        finally:
            _add_seconds(work.folder, step.name, began)


def _fail(work: RunningCycle, error: HangtagError) -> None:
    folder = work.folder
    learned = (folder.run / "args.json").is_file()
    hopeless = isinstance(error, DataError | ParityError) or (isinstance(error, InputError) and not learned)
    if hopeless and not folder.published.is_file():
        folder.abandon(str(error))
    else:
        work.note(f"The next call continues cycle {folder.path.name}; --restart abandons it.")


def _nothing(name: str, champion: int, why: str) -> Outcome:
    stays = f"{name}@{champion}" if champion else None
    now = now_text()
    return Outcome(
        status=CycleStatus.NOTHING_NEW, number=0, name=name, champion=stays, reasons=(why,), started=now, finished=now
    )


def _add_seconds(folder: CycleFolder, step: str, began: float) -> None:
    seconds = folder.step_seconds()
    seconds[step] = round(seconds.get(step, 0.0) + time.monotonic() - began, 2)
    replace_file(folder.seconds, json.dumps(seconds, indent=1).encode())
