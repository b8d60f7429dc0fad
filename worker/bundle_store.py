"""The models that jobs are pinned to, by digest: a bundle that is moved or replaced elsewhere cannot strand a job."""

import hashlib
from pathlib import Path
from typing import Final

from models.bundle import open_bundle
from models.bundle_copy import bring, bring_bundle, is_whole, keep, keep_bundle
from models.errors import BundleError
from models.storage.storage import Storage

__all__ = ["BundleStore"]

_LONE_FILE: Final = "lone.onnx"


class BundleStore:
    """Bundles and lone ONNX files, in a folder each that is named by its digest.

    Args:
        storage: where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def put(self, model: Path, digest: str) -> None:
        """Keep a bundle, or a lone ``.onnx`` file; what is kept of it already is checked, and mended where it is wrong.

        Raises:
            BundleError: it is not the one of that digest, or a file of it is not the one that was exported.
        """
        place = self._storage.child(digest)
        if model.is_file():
            data = model.read_bytes()
            _check_digest(model, hashlib.sha256(data).hexdigest(), digest)
            keep(place, _LONE_FILE, data)
            return
        bundle = open_bundle(model)
        _check_digest(model, bundle.digest, digest)
        keep_bundle(place, bundle)

    def fetch(self, digest: str) -> Path:
        """The path of a bundle or a lone file on this machine; it is copied here first where it is elsewhere.

        Raises:
            BundleError: it is not kept here.
        """
        here = self._storage.scratch / digest
        lone = here / _LONE_FILE
        is_copy = here != self._storage.child(digest).on_disk("")
        if not here.is_dir() or (is_copy and not (lone.is_file() or is_whole(here))):
            self._bring(digest, here)
        return lone if lone.is_file() else here

    def _bring(self, digest: str, here: Path) -> None:
        place = self._storage.child(digest)
        try:
            if place.exists(_LONE_FILE):
                bring([(_LONE_FILE, place.read(_LONE_FILE))], here)
            else:
                bring_bundle(place, here)
        except FileNotFoundError as error:
            msg = f"Expected the model {digest[:12]} in {self._storage.place}, it is gone; submit the job anew."
            raise BundleError(msg) from error


def _check_digest(model: Path, found: str, expected: str) -> None:
    if found != expected:
        msg = f"{model} was replaced while the job was being submitted; submit it again."
        raise BundleError(msg)
