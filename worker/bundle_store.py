"""The models that jobs are pinned to, by digest: a bundle that is moved or replaced elsewhere cannot strand a job."""

import hashlib
import shutil
import uuid
from pathlib import Path
from typing import Final

from models.bundle import MANIFEST_FILE, open_bundle
from models.errors import BundleError
from models.manifest import parse_manifest
from models.storage.storage import Storage
from models.whole_file import write_synced

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
        if model.is_file():
            data = model.read_bytes()
            _check_digest(model, hashlib.sha256(data).hexdigest(), digest)
            self._keep(f"{digest}/{_LONE_FILE}", data)
            return
        bundle = open_bundle(model)
        _check_digest(model, bundle.digest, digest)
        for name in bundle.manifest.files:
            self._keep(f"{digest}/{name}", bundle.read(name))
        self._keep(f"{digest}/{MANIFEST_FILE}", (model / MANIFEST_FILE).read_bytes())

    def _keep(self, key: str, data: bytes) -> None:
        if not self._storage.commit(key, data) and self._storage.read(key) != data:
            self._storage.replace(key, data)

    def fetch(self, digest: str) -> Path:
        """The path of a bundle or a lone file on this machine; it is copied here first where it is elsewhere.

        Raises:
            BundleError: it is not kept here.
        """
        here = self._storage.scratch / digest
        if not here.is_dir():
            self._copy(digest, here)
        lone = here / _LONE_FILE
        return lone if lone.is_file() else here

    def _copy(self, digest: str, here: Path) -> None:
        temporary = here.with_name(f".{digest}.{uuid.uuid4().hex}")
        try:
            for name in self._files(digest):
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                write_synced(temporary / name, self._storage.read(f"{digest}/{name}"))
            temporary.rename(here)
        except FileNotFoundError as error:
            msg = f"Expected the model {digest[:12]} in {self._storage.place}, it is gone; submit the job anew."
            raise BundleError(msg) from error
        except OSError:
            if not here.is_dir():  # unless another process has just brought it
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _files(self, digest: str) -> list[str]:
        if self._storage.exists(f"{digest}/{_LONE_FILE}"):
            return [_LONE_FILE]
        source = f"{self._storage.place}/{digest}/{MANIFEST_FILE}"
        manifest = parse_manifest(self._storage.read(f"{digest}/{MANIFEST_FILE}"), source)
        return [*manifest.files, MANIFEST_FILE]


def _check_digest(model: Path, found: str, expected: str) -> None:
    if found != expected:
        msg = f"{model} was replaced while the job was being submitted; submit it again."
        raise BundleError(msg)
