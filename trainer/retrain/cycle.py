"""The cycle: what is new is collected, a challenger learns, is weighed against the champion, and promoted or refused.

Whatever kills it, it goes on where it was: a step whose file is there is done, and the registry's history says what was
decided. One cycle of a model runs at a time.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from pydantic import ValidationError

from models.errors import DataError, HangtagError, InputError, ParityError, StoppedError
from models.registry.registry import Registry, open_registry
from models.storage.storage import Storage
from models.whole_file import replace_file
from trainer.retrain.begin import Beginning, begin, champion_of, undrifted
from trainer.retrain.config import RetrainConfig
from trainer.retrain.cycle_folder import CycleFolder, Cycles, CycleStart, CycleStatus, CycleWhy, Outcome
from trainer.retrain.lock import CycleLock
from trainer.retrain.steps import CATALOGUE, COMPARE, DECIDE, EXPORT, GATE, LOG, PUBLISH, CycleView, Step, Work, ending
from trainer.retrain.tools import Tools
from trainer.retrain.train_step import TEACH

__all__ = ["CycleWish", "Held", "Surroundings", "retrain", "steps"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Held(Protocol):
    """The lock of a model's cycles, held."""

    def check(self) -> None:
        """Raise :class:`models.errors.BusyError` where another process has taken it over."""


def _lock(storage: Storage) -> AbstractContextManager[Held]:
    """A step takes hours: it is stopped as by Ctrl-C when another process goes on with its cycle."""
    return CycleLock(storage, lost=lambda: os.kill(os.getpid(), signal.SIGINT)).held()


def steps(now: Callable[[], str] = _now) -> tuple[Step, ...]:
    """All steps after collecting, in order."""
    return (TEACH, EXPORT, COMPARE, CATALOGUE, GATE, PUBLISH, DECIDE, *ending(now))


@dataclass(frozen=True)
class CycleWish:
    """What is asked of one call.

    Attributes:
        when: ``data``: whenever there is something new; ``drift``: if besides a job of the champion has drifted.
        why: that the cycle begins, for its record.
        force: why a refusal is to be overruled; none where it is not.
        restart: whether an unfinished cycle is abandoned; one whose challenger is published ends first.
    """

    when: Literal["data", "drift"] = "data"
    why: CycleWhy = "data"
    force: str | None = None
    restart: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What a cycle is run with; another one in a test.

    Attributes:
        tools: do the work.
        lock: is held meanwhile, of the model's folder in the registry.
        steps: after collecting.
        now: the time in UTC.
        clock: in seconds, to measure steps.
    """

    tools: Tools = field(default_factory=Tools)
    lock: Callable[[Storage], AbstractContextManager[Held]] = _lock
    steps: Sequence[Step] = field(default_factory=steps)
    now: Callable[[], str] = _now
    clock: Callable[[], float] = time.monotonic


def retrain(config: RetrainConfig, wish: CycleWish, view: CycleView, around: Surroundings | None = None) -> Outcome:
    """Run a cycle to its end, or go on with one that was stopped.

    Raises:
        BusyError: another process runs a cycle of this model, or has taken this one over.
        InputError: the settings, the photos or the splits cannot be used; what cannot be learned from, and settings
            that no training begins with, end the cycle, so that the next one looks at them again.
        ParityError: the challenger's export disagreed with it; the cycle is over.
        StoppedError: somebody pressed Ctrl-C; the same call goes on.
    """
    around = around or Surroundings()
    registry = open_registry(config.registry)
    with around.lock(registry.model_storage(config.name)) as held:
        try:
            return _Cycle(config, wish, view, around, registry, held).run()
        except (KeyboardInterrupt, StoppedError):
            held.check()
            raise


def _settings_of(folder: CycleFolder) -> RetrainConfig:
    """Those that a cycle began with, and keeps to."""
    try:
        return RetrainConfig.model_validate(folder.read(folder.start, CycleStart).config)
    except ValidationError as error:
        msg = (
            f"Expected settings in {folder.start} that this Hangtag knows, found others: another version has begun the "
            "cycle. Go on with that one, or abandon the cycle with --restart."
        )
        raise InputError(msg) from error


class _Cycle:
    def __init__(
        self,
        config: RetrainConfig,
        wish: CycleWish,
        view: CycleView,
        around: Surroundings,
        registry: Registry,
        held: Held,
    ) -> None:
        self._config = config
        self._wish = wish
        self._view = view
        self._around = around
        self._registry = registry
        self._held = held
        self._cycles = Cycles(config.cycles)

    def run(self) -> Outcome:
        folder = self._unfinished()
        if folder is None:
            why_not = self._undrifted()
            if why_not:
                return self._nothing(why_not)
            folder = self._begun()
        if folder is None:
            return self._nothing("no new photos, no corrections, and the settings of [train] are the same")
        outcome = self._worked(self._work(folder, _settings_of(folder)))
        self._cycles.lighten(self._config.keep)
        return outcome

    def _unfinished(self) -> CycleFolder | None:
        """The cycle to go on with."""
        folder = self._cycles.unfinished()
        if folder is None:
            return None
        if self._wish.restart and not folder.published.is_file():
            self._cycles.abandon(folder, "abandoned by --restart", self._around.now())
            self._view.note(f"Cycle {folder.path.name} is abandoned.")
            return None
        start = folder.read(folder.start, CycleStart)
        self._check_same_model(start)
        self._view.note(f"Goes on with cycle {folder.path.name}, begun at {start.started}.")
        if start.config != self._config.model_dump(mode="json"):
            self._view.note(
                "The settings have changed since it began; it keeps to those it began with (--restart abandons it)."
            )
        return folder

    def _check_same_model(self, start: CycleStart) -> None:
        """The lock that is held is of one model in one registry: what is in the folder must be of the same."""
        began, now = (start.name, start.config.get("registry")), (self._config.name, self._config.registry)
        if began != now:
            msg = (
                f"Expected cycles of {now[0]} in {now[1]} in the folder {self._cycles.path}, found an unfinished one "
                f"of {began[0]} in {began[1]}; give each model and registry a folder of its own, or abandon that cycle "
                "with --restart."
            )
            raise InputError(msg)

    def _undrifted(self) -> str | None:
        """Why nothing is done, where only a drifted job would be a reason."""
        if self._wish.when == "data":
            return None
        return undrifted(self._config, self._registry, self._around.tools, self._view.note)

    def _begun(self) -> CycleFolder | None:
        notes: list[str] = []
        asked = Beginning(
            self._config,
            self._registry,
            self._cycles,
            self._around.tools,
            self._wish.why,
            self._around.now,
            notes.append,
        )
        began = self._around.clock()
        with self._view.step("collect") as view:
            folder = begin(asked, view)
        for line in notes:
            self._view.note(line)
        if folder is not None:
            self._took(folder, "collect", began)
        return folder

    def _tell_late(self) -> None:
        """A tracking server may have been away when the last cycle ended; it is asked again as long as all is there."""
        if self._config.mlflow is None:
            return
        last = next(reversed(self._cycles.finished()), None)
        if last is not None and last.bundle.is_dir() and not LOG.done(work := self._work(last, self._config)):
            with self._view.step(LOG.name) as view:
                LOG.do(work, view)

    def _work(self, folder: CycleFolder, config: RetrainConfig) -> Work:
        return Work(
            folder=folder,
            start=folder.read(folder.start, CycleStart),
            config=config,
            registry=self._registry,
            tools=self._around.tools,
            force=self._wish.force,
            note=self._view.note,
        )

    def _worked(self, work: Work) -> Outcome:
        """All steps that are left."""
        for step in self._around.steps:
            self._held.check()
            if step.done(work):
                continue
            began = self._around.clock()
            try:
                with self._view.step(step.name) as view:
                    step.do(work, view)
            except (KeyboardInterrupt, HangtagError) as error:
                if isinstance(error, KeyboardInterrupt | StoppedError):
                    self._held.check()  # another process may have stopped it, and goes on in this folder
                self._took(work.folder, step.name, began)
                if isinstance(error, HangtagError):
                    self._failed(work.folder, error)
                raise
            self._took(work.folder, step.name, began)
        return work.folder.read(work.folder.outcome, Outcome)

    def _failed(self, folder: CycleFolder, error: HangtagError) -> None:
        """What stays wrong, or was wrong before anything was learned, ends the cycle: the next one begins anew.

        That are photos that cannot be learned from, an export that disagrees, and settings that no training begins
        with, which would else hold in every call until somebody says ``--restart``.
        """
        learned = (folder.run / "args.json").is_file()
        hopeless = isinstance(error, DataError | ParityError) or (isinstance(error, InputError) and not learned)
        if hopeless and not folder.published.is_file():
            self._cycles.abandon(folder, str(error), self._around.now())
        else:
            self._view.note(f"Cycle {folder.path.name} goes on from here at the next call; --restart abandons it.")

    def _took(self, folder: CycleFolder, step: str, began: float) -> None:
        so_far = json.loads(folder.seconds.read_bytes()) if folder.seconds.is_file() else {}
        so_far[step] = round(so_far.get(step, 0.0) + self._around.clock() - began, 2)
        replace_file(folder.seconds, json.dumps(so_far, indent=1).encode())

    def _nothing(self, why: str) -> Outcome:
        self._tell_late()
        now, name = self._around.now(), self._config.name
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
