"""Hangtag from Python. Each function runs a command, takes the command's options by name, and returns the result.

``--image-size 128`` is ``image_size=128``, ``--where A=1 --where B=2`` is ``where=["A=1", "B=2"]``, ``--no-int8`` is
``int8=False``. Functions accept the same values as the commands, show the same progress, and raise the errors of
``models.errors``. A notebook shows a result as its HTML page.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from markupsafe import escape

from models.errors import ExitCode, HangtagError, InputError, JobError
from models.text import without_file_links
from pages.render import render

if TYPE_CHECKING:
    import pyarrow as pa
    from typer.core import TyperGroup

    from models.manifest import Manifest
    from trainer.judging.evaluate import Evaluation
    from trainer.judging.figures import Figures
    from trainer.judging.measure import Measurement
    from worker.job.receipt import JobReceipt

PathLike = str | os.PathLike[str]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Result:
    """A folder or file that a command wrote. Functions that expect a path accept this object."""

    path: Path
    _page: ClassVar[str]

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def page(self) -> Path:
        return self.path / self._page

    def _repr_html_(self) -> str:
        page = escape(without_file_links(self.page.read_bytes()).decode())
        return render("notebook_page.html", page=page, title=str(self.path))


class CheckReport(_Result):
    """The report folder of ``hangtag check``."""

    _page = "check.html"

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of ``check.json``: ``images``, ``classes``, ``issues`` and more."""
        return cast("dict[str, Any]", json.loads((self.path / "check.json").read_bytes()))

    @property
    def issues(self) -> dict[str, int]:
        """Number of images with each issue. Issues without images are left out."""
        return {name: count for name, count in self.summary["issues"].items() if count}


class TrainedRun(_Result):
    """The folder of a training run that ``hangtag train`` wrote."""

    _page = "report.html"

    @property
    def evaluation(self) -> "Evaluation":
        """Accuracy and calibration on validation and test photos, and the coverage of each precision."""
        from trainer.judging.evaluate import Evaluation

        return Evaluation.model_validate_json((self.path / "evaluation.json").read_bytes())

    @property
    def figures(self) -> "Figures":
        """The main figures of the report: on test, out-of-fold or validation photos."""
        evaluation = self.evaluation
        return cast("Figures", evaluation.of(evaluation.shown))


@dataclass(frozen=True)
class ExportedBundle:
    """The bundle that ``hangtag export`` wrote."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def manifest(self) -> "Manifest":
        """The bundle's manifest: classes, promised precisions, variants."""
        from models.bundle import read_manifest

        return read_manifest(self.path).manifest

    @property
    def proof(self) -> dict[str, Any]:
        """The contents of ``parity.json``: the comparisons with Keras and their results."""
        return cast("dict[str, Any]", json.loads((self.path / "parity.json").read_bytes()))


class LabeledCatalogue(_Result):
    """The result of ``hangtag label``; ``path`` is the file."""

    @property
    def receipt(self) -> "JobReceipt":
        """Counts by label, status and reason; errors with examples; speed; the rule for review.

        With several models, ``receipt.questions["colour"]`` has the counts of the model ``colour``. The totals count
        each row once, with its worst status.
        """
        from models.storage.storage import FolderStorage
        from worker.job.job import open_job
        from worker.job.receipt import job_receipt

        job = open_job(FolderStorage(self.page.parent))
        receipt = job_receipt(job) if job else None
        if receipt is None:
            msg = f"Expected a finished job in {self.page.parent}, found none; label the catalogue again."
            raise JobError(msg)
        return receipt

    @property
    def page(self) -> Path:
        """``receipt.html``."""
        from worker.label import job_folder

        return job_folder(self.path) / "receipt.html"

    def table(self) -> "pa.Table":
        """The catalogue's columns and the new columns. In a table read from CSV each cell is text."""
        import pyarrow as pa
        import pyarrow.json
        import pyarrow.parquet

        from catalogue.readers import read_delimited
        from models.storage.storage import FolderStorage
        from worker.job.job import open_job

        match self.path.suffix.lower():
            case ".parquet":
                return pyarrow.parquet.read_table(self.path)
            case ".jsonl":
                return pyarrow.json.read_json(self.path)
        job = open_job(FolderStorage(self.page.parent))
        rows = read_delimited(self.path, job.spec.delimiter if job else None)
        return pa.Table.from_batches(rows.batches, rows.schema)


def check(data: PathLike, **options: object) -> CheckReport:
    """Check labelled photos before training: faults, duplicates, leaks between splits, shortcuts.

    Args:
        data: class folders, or a table of photos.
        options: see ``hangtag check --help``; for example ``out``, ``label_column``, ``strict``.
    """
    return CheckReport(_run("check", Path, [data], options))


def train(data: PathLike | None = None, **options: object) -> TrainedRun:
    """Train a network on labelled photos, and compute its thresholds.

    Args:
        data: class folders, or a table of photos. None with ``resume``.
        options: see ``hangtag train --help``; for example ``name``, ``arch``, ``image_size``, ``time_limit``.
    """
    return TrainedRun(_run("train", Path, [] if data is None else [data], options))


def export(run: PathLike, **options: object) -> ExportedBundle:
    """Convert a run to ONNX and prove that it agrees with Keras.

    Args:
        run: the result of :func:`train`, or its path.
        options: see ``hangtag export --help``; for example ``out``, ``int8``, ``edge``.

    Raises:
        ParityError: ONNX Runtime and Keras disagree; the bundle is not published.
    """
    return ExportedBundle(_run("export", Path, [run], options))


def evaluate(model: PathLike, data: PathLike, **options: object) -> "Measurement":
    """Measure a model on labelled photos that it was not trained on.

    ``figures`` of the result has accuracy, precision, recall, F1 and calibration, overall and by class.

    Args:
        model: a run, a bundle, a single ``.onnx`` file, or a model in a registry.
        data: class folders, or a table of photos.
        options: see ``hangtag evaluate --help``.
    """
    from trainer.judging.measure import Measurement

    return _run("evaluate", Measurement, [model, data], options)


def label(source: PathLike, model: object, out: PathLike, **options: object) -> LabeledCatalogue:
    """Label a catalogue.

    The result has the catalogue's rows in the same order. A stopped job continues where it stopped.

    Args:
        source: a folder of photos, or a file or URL that lists photos.
        model: the result of :func:`export`, a path, or a name in the registry. For several models, a mapping of column
            prefixes to models: ``{"category": "shop@champion", "colour": "colours@champion"}``.
        out: the file to write; ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        options: see ``hangtag label --help``; for example ``precision``, ``image_column``, ``workers``.
    """
    return LabeledCatalogue(_run("label", Path, [source], {"model": model, "out": out, **options}))


def _run(name: str, kind: type[Answer], arguments: list[PathLike], options: Mapping[str, object]) -> Answer:
    from typer.exceptions import Abort, TyperException
    from typer.main import get_command

    from hangtag.cli import COMMANDS, make_app
    from models.session import refuse_telemetry

    refuse_telemetry()
    group = cast("TyperGroup", get_command(make_app([COMMANDS[name]])))
    params = group.commands[name].params
    flags = {word: param.secondary_opts for param in params if getattr(param, "is_flag", False) for word in param.opts}
    words = [name, *_words(options, flags), "--", *(os.fspath(one) for one in arguments)]
    try:
        answer = group.main(words, prog_name="hangtag", standalone_mode=False)
    except TyperException as error:
        msg = f"hangtag.{name}: {error.format_message()}"
        raise InputError(msg) from error
    except Abort as stopped:
        raise KeyboardInterrupt from stopped
    if isinstance(answer, kind):
        return answer
    status = ExitCode(cast("int", answer))
    refused = HangtagError(f"hangtag.{name} ended with exit status {status.value} ({status.name.lower()}).")
    refused.exit_code = status
    raise refused


def _words(options: Mapping[str, object], flags: Mapping[str, list[str]]) -> Iterator[str]:
    """Options as command-line arguments. ``flags``: the options that disable flags: ``["--no-int8"]``, or ``[]``."""
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        match value:
            case None:
                pass
            case bool() if word in flags:
                yield from [word] if value else flags[word][:1]
            case Mapping():
                yield from (f"{word}={key}={_text(one)}" for key, one in value.items())
            case list() | tuple():
                yield from (f"{word}={_text(one)}" for one in value)
            case _:
                yield f"{word}={_text(value)}"


def _text(value: object) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
