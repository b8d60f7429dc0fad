"""The cycle: what is new is collected, a challenger learns, is compared with the champion, and promoted or refused.

Whatever kills it, it goes on where it was: a step whose file is there is done, and the registry's history says what was
decided. One cycle of a model runs at a time.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
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
        """Something that a person should know."""

    def step(self, name: str, title: str) -> "AbstractContextManager[TrainingView]":
        """A step begins; returns the callback that shows its progress."""


@dataclass(frozen=True)
class CycleOptions:
    """Options of one call.

    Attributes:
        when: ``data``: whenever there is something new; ``drift``: only if a job of the champion has drifted, too.
        force: the reason to overrule a refusal, if one is given.
        restart: whether an unfinished cycle is abandoned; one whose challenger is published ends first.
    """

    when: Literal["data", "drift"] = "data"
    force: str | None = None
    restart: bool = False


def retrain(config: RetrainConfig, options: CycleOptions, view: CycleView, tools: CycleTools | None = None) -> Outcome:
    """Run a cycle to its end, or go on with one that was stopped.

    Raises:
        BusyError: another process runs a cycle of this model.
        InputError: the settings, the photos or the splits cannot be used; if no training can begin with them, the cycle
            ends, so that the next one reads them again.
        ParityError: the challenger's export disagreed with it; the cycle is over.
        StoppedError: somebody pressed Ctrl-C; the same call goes on.
    """
    storage = open_registry(config.registry).model_storage(config.name)
    with only_cycle(storage):
        return _Cycle(config, options, view, tools or CycleTools()).run()


@contextmanager
def only_cycle(model: Storage) -> Iterator[None]:
    """Hold the lock of a model; the kernel takes it back when this process ends, however that is.

    It is a POSIX record lock, since children of this process would inherit one of ``flock``. It lies beside the model's
    versions: machines that share that disk by NFS exclude each other, too.

    Raises:
        BusyError: another process holds it.
    """
    model.scratch.mkdir(parents=True, exist_ok=True)
    with open_lock(model.scratch / _LOCK) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            msg = f"The model in {model.place} is being retrained by {file.read()}; wait for its end, or end it there."
            raise BusyError(msg) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {now_text()}")
        file.flush()
        yield


class _Cycle:
    def __init__(self, config: RetrainConfig, options: CycleOptions, view: CycleView, tools: CycleTools) -> None:
        self._config = config
        self._options = options
        self._view = view
        self._tools = tools
        self._registry = open_registry(config.registry)
        self._cycles = Cycles(config.folder)

    def run(self) -> Outcome:
        folder = self._unfinished()
        if folder is None:
            asked = NewCycle(self._config, self._registry, self._cycles, self._tools, self._view.note)
            why_not = asked.undrifted() if self._options.when == "drift" else None
            if why_not:
                return self._nothing(why_not)
            folder = self._begun(asked)
        if folder is None:
            return self._nothing("no new photos, no corrections, and the settings of [train] are the same")
        outcome = self._worked(self._work(folder, _settings_of(folder)))
        self._cycles.lighten(self._config.keep)
        return outcome

    def _unfinished(self) -> CycleFolder | None:
        """The unfinished cycle to continue, if any."""
        folder = self._cycles.unfinished()
        if folder is None:
            return None
        if self._options.restart and not folder.published.is_file():
            folder.abandon("abandoned by --restart")
            self._view.note(f"Cycle {folder.path.name} is abandoned.")
            return None
        start = folder.read(folder.start, CycleStart)
        began, now = (start.name, start.config.get("registry")), (self._config.name, self._config.registry)
        if began != now:  # the lock that is held is of one model in one registry
            msg = (
                f"Expected cycles of {now[0]} in {now[1]} in the folder {self._cycles.path}, found an unfinished one "
                f"of {began[0]} in {began[1]}; give each model and registry a folder of its own, or abandon that cycle "
                "with --restart."
            )
            raise InputError(msg)
        self._view.note(f"Goes on with cycle {folder.path.name}, begun at {start.started}.")
        if start.config != self._config.model_dump(mode="json"):
            self._view.note(
                "The settings have changed since the cycle began; it keeps the earlier ones (--restart abandons it)."
            )
        return folder

    def _begun(self, asked: NewCycle) -> CycleFolder | None:
        notes: list[str] = []
        began = time.monotonic()
        with self._view.step("collect", "What is there to learn from?") as view:
            folder = replace(asked, note=notes.append).begin(self._options.when, view)
        for line in notes:
            self._view.note(line)
        if folder is not None:
            _took(folder, "collect", began)
        return folder

    def _work(self, folder: CycleFolder, config: RetrainConfig) -> RunningCycle:
        start = folder.read(folder.start, CycleStart)
        return RunningCycle(folder, start, config, self._registry, self._tools, self._options.force, self._view.note)

    def _worked(self, work: RunningCycle) -> Outcome:
        """Do all steps that are left."""
        for step in STEPS:
            if step.done(work):
                continue
            began = time.monotonic()
            try:
                with self._view.step(step.name, step.title) as view:
                    step.do(work, view)
            except (KeyboardInterrupt, HangtagError) as error:
                _took(work.folder, step.name, began)
                if isinstance(error, HangtagError):
                    self._failed(work.folder, error)
                raise
            _took(work.folder, step.name, began)
        return work.folder.read(work.folder.outcome, Outcome)

    def _failed(self, folder: CycleFolder, error: HangtagError) -> None:
        """End the cycle after an error that each further call would meet again; the next call begins a new cycle.

        Such errors are photos that cannot be learned from, an export that disagrees with its network, and settings
        with which no training begins. After any other error the next call goes on with the cycle.
        """
        learned = (folder.run / "args.json").is_file()
        hopeless = isinstance(error, DataError | ParityError) or (isinstance(error, InputError) and not learned)
        if hopeless and not folder.published.is_file():
            folder.abandon(str(error))
        else:
            self._view.note(f"Cycle {folder.path.name} goes on from here at the next call; --restart abandons it.")

    def _nothing(self, why: str) -> Outcome:
        now, name = now_text(), self._config.name
        champion = champion_of(self._registry, name)
        return Outcome(
            status=CycleStatus.NOTHING_NEW,
            number=0,
            name=name,
            champion=f"{name}@{champion}" if champion else None,
            reasons=(why,),
            started=now,
            finished=now,
        )


def _settings_of(folder: CycleFolder) -> RetrainConfig:
    """The settings that a cycle began with, and keeps to."""
    try:
        return RetrainConfig.model_validate(folder.read(folder.start, CycleStart).config)
    except ValidationError as error:
        msg = (
            f"Expected settings in {folder.start} that this Hangtag knows, found others: another version has begun "
            "the cycle. Continue with that version, or abandon the cycle with --restart."
        )
        raise InputError(msg) from error


def _took(folder: CycleFolder, step: str, began: float) -> None:
    so_far = json.loads(folder.seconds.read_bytes()) if folder.seconds.is_file() else {}
    so_far[step] = round(so_far.get(step, 0.0) + time.monotonic() - began, 2)
    replace_file(folder.seconds, json.dumps(so_far, indent=1).encode())
