"""Verifies that a bundle gives the same answers on this machine as at its export."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from rich.markup import escape
from rich.table import Table

from models.bundle import LABELS_FILE, MANIFEST_FILE, Bundle, read_file, read_manifest
from models.classifier import Classifier, EdgeModel, load_network
from models.errors import BundleError, ExitCode
from models.golden import check_golden
from models.terminal import Console, print_table
from models.text import number_of

Progress = Callable[[str], None]
"""Called before each file, with the file's name."""

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
    GOLDEN = "golden samples"
    ANSWER = "answer"


@dataclass(frozen=True)
class Check:
    """A check.

    ``sound``: whether the check passed; None if the check could not run. ``detail``: the result, or what is wrong.
    """

    check: Aspect
    subject: str
    sound: bool | None
    detail: str


@dataclass(frozen=True)
class Verification:
    """The result of all checks.

    Attributes:
        model: ``name/version``; None if the model could not be read.
        digest: SHA-256 of the bundle's manifest, or of the single file. Compare this digest with the digest that the
            export printed, because a forger can also change the manifest.
        unlisted: files in the bundle's folder that are not in the manifest, and so were not checked.
    """

    path: str
    model: str | None
    digest: str
    sound: bool
    checks: tuple[Check, ...]
    unlisted: tuple[str, ...]

    @property
    def faults(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.sound is False)


def verify_and_show(path: Path, *, as_json: bool) -> ExitCode:
    """Verify a bundle or an ONNX file, and print a table or JSON on stdout."""
    verification = verify_with_spinner(path)
    if as_json:
        print(json.dumps(asdict(verification), indent=1))
    else:
        _show(verification, Console())
    return ExitCode.OK if verification.sound else ExitCode.BUNDLE_REFUSED


def verify_with_spinner(path: Path) -> Verification:
    """Run :func:`verify`, and show a spinner on stderr."""
    with Console(stderr=True).status("Verifying") as status:
        return verify(path, lambda what: status.update(f"Verifying {escape(what)}"))


def verify(path: Path, progress: Progress = lambda _: None) -> Verification:
    """Run all checks, even if some fail.

    In a bundle: the SHA-256 of each file, ``labels.txt``, and the metadata and golden samples of each model. In a
    single ONNX file: the metadata, and a test run of the model. Raises BundleError.
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
        for file in variant.files:
            progress(file)
            checks += _model(bundle, name, file, faults)
    return _verification(path, f"{manifest.name}/{manifest.version}", bundle.digest, checks, _unlisted(bundle))


def _verification(
    path: Path, model: str | None, digest: str, checks: list[Check], unlisted: tuple[str, ...] = ()
) -> Verification:
    sound = all(check.sound is not False for check in checks)
    return Verification(str(path), model, digest, sound, tuple(checks), unlisted)


def _files(bundle: Bundle, faults: dict[str, str]) -> Iterator[Check]:
    listed = len(bundle.manifest.files)
    if listed > len(faults):
        yield Check(Aspect.FILES, f"{listed - len(faults)} of {listed}", True, "as exported (SHA-256)")
    for name, fault in faults.items():
        yield Check(Aspect.FILES, name, False, fault)


def _check(aspect: Aspect, subject: str, run: Callable[[], str]) -> Check:
    try:
        return Check(aspect, subject, True, run())
    except BundleError as error:
        return Check(aspect, subject, False, str(error))


def _labels(bundle: Bundle, faults: dict[str, str]) -> Check:
    if LABELS_FILE in faults:
        return _unchecked(Aspect.LABELS, LABELS_FILE, [LABELS_FILE])

    def run() -> str:
        bundle.check_labels()
        return f"{len(bundle.manifest.labels)} labels, as in the manifest"

    return _check(Aspect.LABELS, LABELS_FILE, run)


def _model(bundle: Bundle, name: str, file: str, faults: dict[str, str]) -> Iterator[Check]:
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
    yield _check(Aspect.METADATA, file, lambda: _metadata(bundle, name, file, model))
    if golden_faults := [other for other in faults if other.startswith(_GOLDEN_FOLDER)]:
        yield _unchecked(Aspect.GOLDEN, file, golden_faults)
    else:
        yield _check(Aspect.GOLDEN, file, lambda: f"{_run(file, lambda: check_golden(bundle, model))} agree")


def _metadata(bundle: Bundle, variant: str, file: str, model: Classifier | EdgeModel) -> str:
    is_edge = file == bundle.manifest.variants[variant].edge
    if isinstance(model, EdgeModel) != is_edge:
        expected = "whole photos" if is_edge else "squares of pixels"
        msg = f"Expected a model that takes {expected}, got another kind of model; export the bundle again."
        raise BundleError(msg)
    bundle.check_metadata(model.metadata, variant, file)
    return "as in the manifest"


def _unchecked(aspect: Aspect, subject: str, wrong: list[str]) -> Check:
    others = f" and {len(wrong) - 1} more" if wrong[1:] else ""
    return Check(aspect, subject, None, f"not checked: {wrong[0]}{others} changed since the export")


def _unlisted(bundle: Bundle) -> tuple[str, ...]:
    known = {MANIFEST_FILE, *bundle.manifest.files}
    names = (
        (Path(folder) / name).relative_to(bundle.path).as_posix()
        for folder, folders, files in os.walk(bundle.path)
        for name in [*files, *(name for name in folders if Path(folder, name).is_symlink())]
    )
    return tuple(sorted(name for name in names if name not in known))


def _verify_file(path: Path, progress: Progress) -> Verification:
    progress(path.name)
    data = read_file(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        model = load_network(data, str(path))
    except BundleError as error:
        return _verification(path, None, digest, [Check(Aspect.MODEL, path.name, False, str(error))])
    metadata = model.metadata
    detail = f"{metadata.variant}, {len(metadata.labels)} labels, {metadata.preprocess.size} px"
    answer = _check(Aspect.ANSWER, path.name, lambda: _answer(model, path.name))
    checks = [Check(Aspect.METADATA, path.name, True, detail), answer]
    return _verification(path, f"{metadata.name}/{metadata.version}", digest, checks)


def _answer(model: Classifier | EdgeModel, file: str) -> str:
    size = model.metadata.preprocess.size
    white = np.full((size, size, 3), 255, np.uint8)
    if isinstance(model, EdgeModel):
        probabilities = _run(file, lambda: model.run(white).probabilities)
    else:
        probabilities = _run(file, lambda: model.predict(white[np.newaxis])[0])
    if not np.isfinite(probabilities).all() or abs(float(probabilities.sum()) - 1) > _SUM_TOLERANCE:
        msg = f"Expected probabilities that sum to 1, got {probabilities.tolist()}; export the model again."
        raise BundleError(msg)
    return "gives probabilities for a white photo"


def _run(file: str, ask: Callable[[], _Answer]) -> _Answer:
    try:
        return ask()
    except BundleError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no base class
        msg = f"Expected {file} to run, but ONNX Runtime answered {error}; export the model again."
        raise BundleError(msg) from error


def _show(verification: Verification, console: Console) -> None:
    table = Table(title=escape(verification.model or verification.path), title_justify="left")
    for heading in ("", "check", "of", "found"):
        table.add_column(heading)
    for check in verification.checks:
        detail = "wrong, see below" if check.sound is False else check.detail
        table.add_row(_MARKS[check.sound], check.check, escape(check.subject), escape(detail))
    print_table(table, console)
    for fault in verification.faults:
        _say(console, _MARKS[False], f"{fault.subject}: {fault.detail}")
    if verification.unlisted:
        console.say(f"Not in the manifest, so not checked: {', '.join(verification.unlisted)}", "yellow")
    if not verification.sound:
        count = number_of(len(verification.faults), "fault")
        _say(console, _MARKS[False], f"{verification.path} is refused: {count}.")
        return
    _say(console, _MARKS[True], f"{verification.path} is sound on this machine.")
    console.say(f"SHA-256 {verification.digest}")
    console.say("If the export printed the same SHA-256, the manifest is unchanged.", "dim")


def _say(console: Console, mark: str, text: str) -> None:
    console.print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)
