"""Does a bundle still say, on this very machine, what it said where it was exported?"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from models.bundle import LABELS_FILE, MANIFEST_FILE, Bundle, read_manifest
from models.errors import BundleError
from models.manifest import Variant
from models.verification import Aspect, Check, Verification
from models.verify_model import check_answer, check_bundled_model, check_promise, load_model

__all__ = ["verify"]

Progress = Callable[[str], None]
"""Called with what is looked at next."""

_GOLDEN_FOLDER: Final = "golden/"


def verify(path: Path, progress: Progress = lambda _: None) -> Verification:
    """Look at everything that can be looked at, whatever else is wrong.

    Of a bundle: the SHA-256 of each file, ``labels.txt``, and of each model its metadata and its golden samples. Of a
    lone ONNX (or ``.ort``) file: its metadata, and whether it answers.

    Args:
        path: a bundle, or a lone file.
        progress: is told what is looked at next.

    Raises:
        BundleError: there is no bundle, or its manifest cannot be read: nothing could be checked against it.
    """
    return _verify_file(path, progress) if path.is_file() else _verify_bundle(path, progress)


def _verify_bundle(path: Path, progress: Progress) -> Verification:
    progress(MANIFEST_FILE)
    bundle = read_manifest(path)
    manifest = bundle.manifest
    faults = {name: fault for name in _told(manifest.files, progress) if (fault := _fault_of(bundle, name))}
    checks = [*_files(bundle, faults), _labels(bundle, faults)]
    for name, variant in manifest.variants.items():
        for field, file in variant.files.items():
            progress(file)
            checks += _model(bundle, name, variant, field, faults)
    model = f"{manifest.name}/{manifest.version}"
    return Verification(path, model, bundle.digest, tuple(checks), _unlisted(bundle))


def _verify_file(path: Path, progress: Progress) -> Verification:
    progress(path.name)
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Expected to read {path}, the system answered {error}."
        raise BundleError(msg) from error
    digest = hashlib.sha256(data).hexdigest()
    try:
        model = load_model(data, str(path))
    except BundleError as error:
        return Verification(path, None, digest, (Check(Aspect.MODEL, path.name, False, str(error)),))
    metadata = model.metadata
    name = f"{metadata.name}/{metadata.version}"
    said = f"{metadata.variant}, {len(metadata.labels)} labels, {metadata.preprocess.size} px"
    metadata_check, promise = Check(Aspect.METADATA, path.name, True, said), check_promise(model, path.name)
    return Verification(path, name, digest, (metadata_check, *promise, check_answer(model, path.name)))


def _told(names: dict[str, str], progress: Progress) -> Iterator[str]:
    for name in names:
        progress(name)
        yield name


def _fault_of(bundle: Bundle, name: str) -> str | None:
    try:
        bundle.read(name)
    except BundleError as error:
        return str(error)
    return None


def _files(bundle: Bundle, faults: dict[str, str]) -> Iterator[Check]:
    listed = len(bundle.manifest.files)
    if listed > len(faults):
        yield Check(Aspect.FILES, f"{listed - len(faults)} of {listed}", True, "as exported (SHA-256)")
    for name, fault in faults.items():
        yield Check(Aspect.FILES, name, False, fault)


def _labels(bundle: Bundle, faults: dict[str, str]) -> Check:
    if LABELS_FILE in faults:
        return _not_looked_at(Aspect.LABELS, LABELS_FILE, [LABELS_FILE])
    try:
        bundle.check_labels()
    except BundleError as error:
        return Check(Aspect.LABELS, LABELS_FILE, False, str(error))
    return Check(Aspect.LABELS, LABELS_FILE, True, f"{len(bundle.manifest.labels)} labels, as in the manifest")


def _model(bundle: Bundle, name: str, variant: Variant, field: str, faults: dict[str, str]) -> Iterator[Check]:
    """Checks of one file of a variant; what is not the exported file is not loaded."""
    file = variant.files[field]
    if file in faults:
        yield _not_looked_at(Aspect.METADATA, file, [file])
        yield _not_looked_at(Aspect.GOLDEN, file, [file])
        return
    golden_faults = [other for other in faults if other.startswith(_GOLDEN_FOLDER)]
    yield from check_bundled_model(bundle, name, file, edge=field.startswith("edge"), golden=not golden_faults)
    if golden_faults:
        yield _not_looked_at(Aspect.GOLDEN, file, golden_faults)


def _not_looked_at(aspect: Aspect, subject: str, wrong: list[str]) -> Check:
    others = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    return Check(aspect, subject, None, f"not looked at: {wrong[0]}{others} is not as exported")


def _unlisted(bundle: Bundle) -> tuple[str, ...]:
    """Links are named and not followed."""
    known = {MANIFEST_FILE, *bundle.manifest.files}
    found = (
        (Path(folder) / name).relative_to(bundle.path).as_posix()
        for folder, folders, files in os.walk(bundle.path)
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]
    )
    return tuple(sorted(name for name in found if name not in known))
