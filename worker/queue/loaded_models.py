"""The models that a process keeps loaded."""

import time
from collections import OrderedDict

from models.classifier import Classifier
from worker.bundle_store import BundleStore
from worker.job import USUAL_OPTIONS, JobOptions, ModelPin
from worker.pin import load_pinned
from worker.queue.events import log_event

__all__ = ["LoadedModels"]


class LoadedModels:
    """Models by pin and what rules; each is fetched and verified (with its golden samples) once, and kept while in use.

    Args:
        store: where the models are.
        kept: how many to keep; the least recently used goes first.
    """

    def __init__(self, store: BundleStore, kept: int) -> None:
        self._store = store
        self._kept = kept
        self._loaded: OrderedDict[tuple[str, str, float | None, float | None], Classifier] = OrderedDict()

    def get(self, pin: ModelPin, options: JobOptions = USUAL_OPTIONS) -> Classifier:
        """The model that a job is pinned to, with the precision or the threshold that the job asks for.

        Raises:
            BundleError: it is gone, damaged, or disagrees with its golden samples on this machine.
            JobError: another model is kept under its name, or an earlier Hangtag began the job without a promise.
        """
        key = (pin.digest, pin.variant, options.precision, options.threshold)
        if key not in self._loaded:
            start = time.monotonic()
            self._loaded[key] = load_pinned(self._store.fetch(pin.digest), pin, options)
            seconds = round(time.monotonic() - start, 3)
            log_event("model_loaded", model=pin.reference, digest=pin.digest, seconds=seconds)
            while len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
