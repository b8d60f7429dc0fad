"""The models that a process keeps loaded."""

from collections import OrderedDict

from models.classifier import Classifier
from worker.bundle_store import BundleStore
from worker.job import ModelPin
from worker.pin import load_pinned

__all__ = ["LoadedModels"]


class LoadedModels:
    """Models by pin; each is fetched, verified and run on its golden samples once, and kept while it is in use.

    Args:
        store: where the models are.
        kept: how many to keep; the least recently used goes first.
    """

    def __init__(self, store: BundleStore, kept: int) -> None:
        self._store = store
        self._kept = kept
        self._loaded: OrderedDict[tuple[str, str], Classifier] = OrderedDict()

    def get(self, pin: ModelPin) -> Classifier:
        """The model that a job is pinned to.

        Raises:
            BundleError: it is gone, damaged, or disagrees with its golden samples on this machine.
            JobError: another model is kept under its name.
        """
        key = (pin.digest, pin.variant)
        if key not in self._loaded:
            self._loaded[key] = load_pinned(self._store.fetch(pin.digest), pin)
            while len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
