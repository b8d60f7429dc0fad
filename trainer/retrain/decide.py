"""Promote or refuse. The registry's history is what decides: what is written there is not decided again."""

from typing import TYPE_CHECKING

from models.errors import RegistryError
from models.registry_history import Event, What
from trainer.retrain.records import Comparison, Verdict
from trainer.retrain.ship import numbers_of, version_of
from trainer.retrain.weigh import CATALOGUE, COMPARE, GATE, compared_with, forget
from trainer.retrain.work import Step, Work, champion_of

if TYPE_CHECKING:
    from trainer.train import TrainingView

__all__ = ["DECIDE", "decision"]

_TIMES = 3
"""Another champion may come so often while this challenger is weighed."""


def decision(work: Work) -> Event | None:
    """What the history says of the challenger last: this cycle's word, or that of a person who promoted it.

    What a person has promoted and taken back is as if nobody had.
    """
    version, rolled_back = version_of(work), False
    for event in reversed(work.registry.history(work.start.name).events()):
        rolled_back |= event.what is What.ROLLED_BACK
        own = event.cycle == work.cycle_id
        refused = event.what is What.REFUSED and own
        promoted = event.what is What.PROMOTED and (own or not rolled_back)
        if event.version == version and (refused or promoted):
            return event
    return None


def _do(work: Work, view: "TrainingView") -> None:
    for _ in range(_TIMES):
        if _settle(work):
            return
        work.note(f"Another version of {work.start.name} is champion by now; the challenger is compared with that one.")
        forget(work)
        for step in (COMPARE, CATALOGUE, GATE):
            if not step.done(work):
                step.do(work, view)
    msg = (
        f"Expected {work.start.name} to have one champion while a challenger is compared with it, others came "
        f"{_TIMES} times; run hangtag retrain again when nobody promotes."
    )
    raise RegistryError(msg)


def _done(work: Work) -> bool:
    event = decision(work)
    return event is not None and (event.what is What.PROMOTED or work.force is None)


DECIDE = Step("decide", _done, _do)


def _settle(work: Work) -> bool:
    """Promote or refuse, unless the champion is not that any more which the challenger was compared with."""
    before = compared_with(work)
    if _champion_moved(work, before):
        return False
    verdict = work.folder.read(work.folder.verdict, Verdict)
    if not verdict.passed:
        _refuse(work, verdict)
    if not verdict.passed and work.force is None:
        return True
    try:
        _promote(work, verdict, before)
    except RegistryError:
        if _champion_moved(work, before):
            return False
        raise
    return True


def _champion_moved(work: Work, before: int) -> bool:
    return champion_of(work.registry, work.start.name) != before


def _refuse(work: Work, verdict: Verdict) -> None:
    numbers = numbers_of(work.folder.read(work.folder.comparison, Comparison))
    work.registry.refuse(work.start.name, version_of(work), verdict.reasons, numbers, work.cycle_id)


def _promote(work: Work, verdict: Verdict, before: int) -> None:
    numbers = numbers_of(work.folder.read(work.folder.comparison, Comparison))
    forced = not verdict.passed
    why = f"{work.force} (although: {'; '.join(verdict.reasons)})" if forced else work.force or "passed the gate"
    work.registry.promote(
        work.start.name,
        version_of(work),
        why,
        numbers=numbers,
        cycle=work.cycle_id,
        instead_of=before,
        force=work.force is not None,  # this cycle may have refused it against another champion
    )
