"""Verifies on this machine that a bundle still answers as it did where it was exported."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from rich.markup import escape
from rich.table import Table

from models.bundle import LABELS_FILE, MANIFEST_FILE, Bundle, read_file, read_manifest
from models.classifier import Classifier, load_network
from models.edge import EdgeModel
from models.errors import BundleError, ExitCode
from models.golden import check_golden
from models.manifest import Variant
from models.terminal import Console, print_table
from models.text import number_of

Progress = Callable[[str], None]
"""Called with what is checked next."""

_Answer = TypeVar("_Answer")

_GOLDEN_FOLDER: Final = "golden/"
_SUM_TOLERANCE: Final = 1e-3
_MARKS: Final = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}


class Aspect(StrEnum):
    """What is checked."""

    FILES = "files"
    LABELS = "labels"
    MODEL = "model"
    METADATA = "metadata"
    PROMISE = "promise"
    GOLDEN = "golden samples"
    ANSWER = "answer"


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        aspect: what was checked.
        subject: the file or files.
        sound: whether it passed; None if another fault kept it from being checked.
        detail: what was found; for a failed check, what is wrong and what to do.
    """

    aspect: Aspect
    subject: str
    sound: bool | None
    detail: str


@dataclass(frozen=True)
class Verification:
    """All that was found.

    Attributes:
        path: the bundle, or the lone file.
        model: ``name/version``; None if it could not be read.
        digest: SHA-256 of the bundle's manifest, or of the lone file: compare it with that of the machine that exported
            it, a forger who changes every file can make a bundle that agrees with itself.
        checks: in the order in which they were made.
        unlisted: files in the bundle's folder that its manifest does not name; they were not checked.
    """

    path: Path
    model: str | None
    digest: str
    checks: tuple[Check, ...]
    unlisted: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.sound is False)

    @property
    def sound(self) -> bool:
        """Whether no check failed."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "path": str(self.path),
            "model": self.model,
            "digest": self.digest,
            "sound": self.sound,
            "checks": [
                {"check": c.aspect, "subject": c.subject, "sound": c.sound, "detail": c.detail} for c in self.checks
            ],
            "unlisted": list(self.unlisted),
        }


def verify_and_show(path: Path, *, as_json: bool) -> ExitCode:
    """Verify with a spinner on stderr, then show what was found on stdout, as a table or as JSON."""
    found = verify_with_spinner(path)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        _show(found, Console())
    return ExitCode.OK if found.sound else ExitCode.BUNDLE_REFUSED


def verify_with_spinner(path: Path) -> Verification:
    """Run :func:`verify`, and show on stderr what is being checked."""
    with Console(stderr=True).status("Verifying") as status:
        return verify(path, lambda what: status.update(f"Verifying {escape(what)}"))


def verify(path: Path, progress: Progress = lambda _: None) -> Verification:
    """Check everything that can be checked, whatever else is wrong.

    Of a bundle: the SHA-256 of each file, ``labels.txt``, and of each model its metadata and its golden samples. Of a
    lone ONNX (or ``.ort``) file: its metadata, and whether it answers.

    Raises:
        BundleError: there is no bundle, or its manifest cannot be read: nothing could be checked against it.
    """
    return _verify_file(path, progress) if path.is_file() else _verify_bundle(path, progress)


def _verify_bundle(path: Path, progress: Progress) -> Verification:
    progress(MANIFEST_FILE)
    bundle = read_manifest(path)
    manifest = bundle.manifest
    faults: dict[str, str] = {}
    for name in manifest.files:
        progress(name)
        try:
            bundle.read(name)
        except BundleError as error:
            faults[name] = str(error)
    checks = [*_files(bundle, faults), _labels(bundle, faults)]
    for name, variant in manifest.variants.items():
        for field, file in variant.files.items():
            progress(file)
            checks += _model(bundle, name, variant, field, faults)
    model = f"{manifest.name}/{manifest.version}"
    return Verification(path, model, bundle.digest, tuple(checks), _unlisted(bundle))


def _files(bundle: Bundle, faults: dict[str, str]) -> Iterator[Check]:
    listed = len(bundle.manifest.files)
    if listed > len(faults):
        yield Check(Aspect.FILES, f"{listed - len(faults)} of {listed}", True, "as exported (SHA-256)")
    for name, fault in faults.items():
        yield Check(Aspect.FILES, name, False, fault)


def _found(aspect: Aspect, subject: str, find: Callable[[], str]) -> Check:
    """Make a check from what ``find`` returns, or from the fault that it raises."""
    try:
        return Check(aspect, subject, True, find())
    except BundleError as error:
        return Check(aspect, subject, False, str(error))


def _labels(bundle: Bundle, faults: dict[str, str]) -> Check:
    if LABELS_FILE in faults:
        return _unchecked(Aspect.LABELS, LABELS_FILE, [LABELS_FILE])

    def find() -> str:
        bundle.check_labels()
        return f"{len(bundle.manifest.labels)} labels, as in the manifest"

    return _found(Aspect.LABELS, LABELS_FILE, find)


def _model(bundle: Bundle, name: str, variant: Variant, field: str, faults: dict[str, str]) -> Iterator[Check]:
    """Check one file of a variant; a file that has changed since the export is not loaded."""
    file = variant.files[field]
    if file in faults:
        yield _unchecked(Aspect.METADATA, file, [file])
        yield _unchecked(Aspect.GOLDEN, file, [file])
        return
    try:
        model = load_network(bundle.read(file), str(bundle.path / file))
    except BundleError as error:
        yield Check(Aspect.METADATA, file, False, str(error))
        yield Check(Aspect.GOLDEN, file, None, "not checked: it cannot be loaded")
        return
    yield _found(Aspect.METADATA, file, lambda: _metadata(bundle, name, file, model, edge=field.startswith("edge")))
    yield from _promise(model, file)
    if golden_faults := [other for other in faults if other.startswith(_GOLDEN_FOLDER)]:
        yield _unchecked(Aspect.GOLDEN, file, golden_faults)
    else:
        yield _found(Aspect.GOLDEN, file, lambda: f"{_run(file, lambda: check_golden(bundle, model))} agree")


def _metadata(bundle: Bundle, variant: str, file: str, model: Classifier | EdgeModel, *, edge: bool) -> str:
    if isinstance(model, EdgeModel) != edge:
        wanted = "whole photos" if edge else "squares of pixels"
        msg = f"Expected a model that takes {wanted}, got one of the other kind; export the bundle again."
        raise BundleError(msg)
    bundle.check_metadata(model.metadata, variant, file)
    return "as in the manifest"


def _promise(model: Classifier | EdgeModel, file: str) -> Iterator[Check]:
    """Check that an edge graph without a promise sends every photo to review: on a device the graph decides."""
    spared = any(limit is not None for limit in model.metadata.thresholds)
    if isinstance(model, EdgeModel) and model.metadata.precision is None and spared:
        found = (
            "It labels photos without review but promises no precision (an earlier version made it); export it again."
        )
        yield Check(Aspect.PROMISE, file, False, found)


def _unchecked(aspect: Aspect, subject: str, wrong: list[str]) -> Check:
    others = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    return Check(aspect, subject, None, f"not checked: {wrong[0]}{others} is not as exported")


def _unlisted(bundle: Bundle) -> tuple[str, ...]:
    """The files that the manifest does not list; links are named and not followed."""
    known = {MANIFEST_FILE, *bundle.manifest.files}
    found = (
        (Path(folder) / name).relative_to(bundle.path).as_posix()
        for folder, folders, files in os.walk(bundle.path)
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]
    )
    return tuple(sorted(name for name in found if name not in known))


def _verify_file(path: Path, progress: Progress) -> Verification:
    progress(path.name)
    data = read_file(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        model = load_network(data, str(path))
    except BundleError as error:
        return Verification(path, None, digest, (Check(Aspect.MODEL, path.name, False, str(error)),))
    metadata = model.metadata
    said = f"{metadata.variant}, {len(metadata.labels)} labels, {metadata.preprocess.size} px"
    answer = _found(Aspect.ANSWER, path.name, lambda: _answer(model, path.name))
    checks = (Check(Aspect.METADATA, path.name, True, said), *_promise(model, path.name), answer)
    return Verification(path, f"{metadata.name}/{metadata.version}", digest, checks)


def _answer(model: Classifier | EdgeModel, file: str) -> str:
    """Check that a model gives probabilities for a white photo."""
    size = model.metadata.preprocess.size
    white = np.full((size, size, 3), 255, np.uint8)
    if isinstance(model, EdgeModel):
        answered = _run(file, lambda: model.run(white).probabilities)
    else:
        answered = _run(file, lambda: model.predict(white[np.newaxis])[0])
    if not np.isfinite(answered).all() or abs(float(answered.sum()) - 1) > _SUM_TOLERANCE:
        msg = f"Expected probabilities that sum to 1, got {answered.tolist()}; export it again."
        raise BundleError(msg)
    return "gives probabilities for a white photo"


def _run(file: str, ask: Callable[[], _Answer]) -> _Answer:
    try:
        return ask()
    except BundleError:
        raise
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        msg = f"Expected {file} to run, ONNX Runtime answered {error}; export it again."
        raise BundleError(msg) from error


def _show(found: Verification, console: Console) -> None:
    table = Table(title=escape(found.model or str(found.path)), title_justify="left")
    for heading in ("", "check", "of", "found"):
        table.add_column(heading)
    for check in found.checks:
        said = "wrong, see below" if check.sound is False else check.detail
        table.add_row(_MARKS[check.sound], check.aspect, escape(check.subject), escape(said))
    print_table(table, console)
    for fault in found.faults:
        console.print(
            f"{_MARKS[False]} {escape(fault.subject)}: {escape(fault.detail)}", highlight=False, soft_wrap=True
        )
    if found.unlisted:
        names = escape(", ".join(found.unlisted))
        console.print(f"Not in the manifest, so not checked: {names}", style="yellow")
    place, count = escape(str(found.path)), number_of(len(found.faults), "fault")
    if not found.sound:
        console.print(f"{_MARKS[False]} {place} is refused: {count}.", highlight=False, soft_wrap=True)
        return
    console.print(f"{_MARKS[True]} {place} is sound on this machine.", highlight=False, soft_wrap=True)
    console.print(f"SHA-256 {found.digest}", highlight=False, soft_wrap=True)
    console.print("Compare it with what the export printed: nothing else vouches for the manifest.", style="dim")
