"""Hangtag from Python: each function is a command, takes the command's options by name, and gives what it made.

``--image-size 128`` is ``image_size=128``, ``--where A=1 --where B=2`` is ``where=["A=1", "B=2"]``, ``--no-int8`` is
``int8=False``. The command's own parser reads them, so that both mean the same and refuse the same. Progress and
tables are shown as on a terminal; a record at the end of a notebook's cell shows its page.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

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
class _Made:
    """What a command left on disk; functions that take a path take it as it is.

    Attributes:
        path: the folder or file.
    """

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


class _WithPage(_Made):
    """The same, with a page that a notebook shows."""

    @property
    def page(self) -> Path:
        """The page to look at in a browser."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """The page, for a notebook."""
        return render(
            "notebook_page.html", page=escape(without_file_links(self.page.read_bytes()).decode()), title=str(self.page)
        )


class CheckReport(_WithPage):
    """The folder of reports that ``hangtag check`` left."""

    @property
    def page(self) -> Path:
        """``check.html``."""
        return self.path / "check.html"

    @property
    def rows(self) -> Path:
        """``check.csv``: a row an image, with its issues."""
        return self.path / "check.csv"

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of ``check.json``: ``images``, ``classes``, ``issues`` and more."""
        return cast("dict[str, Any]", json.loads((self.path / "check.json").read_bytes()))

    @property
    def issues(self) -> dict[str, int]:
        """Issue → how many images have it; those that none has are left out."""
        return {name: count for name, count in self.summary["issues"].items() if count}


class TrainedRun(_WithPage):
    """The run that ``hangtag train`` left."""

    @property
    def page(self) -> Path:
        """``report.html``."""
        return self.path / "report.html"

    @property
    def evaluation(self) -> "Evaluation":
        """Figures on validation and test, and what each precision can be promised for."""
        from trainer.judging.evaluate import Evaluation

        return Evaluation.model_validate_json((self.path / "evaluation.json").read_bytes())

    @property
    def figures(self) -> "Figures":
        """The figures that the report leads with: on test, out of fold, or else on validation."""
        found = self.evaluation
        return cast("Figures", found.figures_of(found.shown))


class ExportedBundle(_Made):
    """The bundle that ``hangtag export`` published."""

    @property
    def manifest(self) -> "Manifest":
        """What the bundle says of itself: classes, promises, variants."""
        from models.bundle import read_manifest

        return read_manifest(self.path).manifest

    @property
    def proof(self) -> dict[str, Any]:
        """The contents of ``parity.json``: what was compared with Keras, and with what result."""
        return cast("dict[str, Any]", json.loads((self.path / "parity.json").read_bytes()))

    def _repr_html_(self) -> str:
        manifest = self.manifest
        rows = [
            (name, f"{(self.path / variant.file).stat().st_size / 1e6:.1f}", name == manifest.default_variant)
            for name, variant in manifest.variants.items()
        ]
        shown = [(name, size, "default" if default else "") for name, size, default in rows]
        return render("notebook_table.html", title=str(self.path), head=("variant", "MB", ""), rows=shown)


class LabeledCatalogue(_WithPage):
    """The result of ``hangtag label``; ``path`` is the file."""

    @property
    def receipt(self) -> "JobReceipt":
        """Counts by label, status and reason, errors with examples, speed, and the rule that decided.

        Of several models, ``receipt.questions["colour"]`` has this of one; the rest counts rows by their worst status.
        An audit since then is in it, too.

        Raises:
            JobError: the job's folder is gone, or a retry of its failed rows has not ended.
        """
        from models.storage.storage import FolderStorage
        from worker.job.job import open_job
        from worker.job.receipt import job_receipt

        job = open_job(FolderStorage(self._job))
        receipt = job_receipt(job) if job else None
        if receipt is None:
            msg = (
                f"Expected a finished job in {self._job}, found none; label the catalogue again, with the same options."
            )
            raise JobError(msg)
        return receipt

    @property
    def page(self) -> Path:
        """``receipt.html``."""
        return self._job / "receipt.html"

    @property
    def _job(self) -> Path:
        from worker.label import job_folder

        return job_folder(self.path)

    def table(self) -> "pa.Table":
        """The rows: the catalogue's columns and those that labelling added; each cell of a CSV is text."""
        import pyarrow as pa
        import pyarrow.json
        import pyarrow.parquet

        from catalogue.readers import read_delimited

        match self.path.suffix.lower():
            case ".parquet":
                return pyarrow.parquet.read_table(self.path)
            case ".jsonl":
                return pyarrow.json.read_json(self.path)
        rows = read_delimited(self.path, ",")
        return pa.Table.from_batches(rows.batches, rows.schema)


@dataclass(frozen=True)
class MeasuredModel:
    """What ``hangtag evaluate`` found.

    Attributes:
        model: a path, or the name that was asked for.
        measurement: the figures, and the photos that they describe.
    """

    model: str
    measurement: "Measurement"

    @property
    def figures(self) -> "Figures":
        """Accuracy, precision, recall, F1 and calibration, with 95% intervals, and those of each class."""
        return self.measurement.figures

    def _repr_html_(self) -> str:
        figures = self.figures
        low, high = figures.accuracy_95
        title = f"{self.model}: accuracy {figures.accuracy:.4f} (95%: {low:.3f}–{high:.3f}), {figures.n:,} photos"
        rows = [
            (name, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.support:,}")
            for name, one in figures.classes.items()
        ]
        return render(
            "notebook_table.html", title=title, head=("class", "precision", "recall", "F1", "photos"), rows=rows
        )


def check(data: PathLike, **options: object) -> CheckReport:
    """Look at labelled photos before learning from them: faults, duplicates, leaks, shortcuts.

    Args:
        data: class folders, or a table of photos.
        options: those of ``hangtag check --help``, such as ``out``, ``label_column``, ``strict``.

    Raises:
        InputError: there is no such option, or the data or an option cannot be used.
        HangtagError: with ``strict``, the data is refused.
    """
    return CheckReport(_run("check", Path, [data], options))


def train(data: PathLike | None = None, **options: object) -> TrainedRun:
    """Train a network on labelled photos, and learn how sure it may be.

    Args:
        data: class folders, or a table of photos; left out with ``resume``.
        options: those of ``hangtag train --help``, such as ``name``, ``arch``, ``image_size``, ``time_limit``.

    Raises:
        DataError: the photos cannot be learned from.
        InputError: there is no such option, or an option cannot be used.
        HangtagError: somebody stopped it; the run can be gone on with by ``resume``.
    """
    return TrainedRun(_run("train", Path, [] if data is None else [data], options))


def export(run: PathLike, **options: object) -> ExportedBundle:
    """Convert a run to ONNX and prove that it says what Keras said.

    Args:
        run: what :func:`train` gave, or its path.
        options: those of ``hangtag export --help``, such as ``out``, ``int8``, ``edge``.

    Raises:
        ParityError: ONNX Runtime and Keras disagree; nothing is published.
        InputError: there is no such option, or the run or an option cannot be used.
    """
    return ExportedBundle(_run("export", Path, [run], options))


def evaluate(model: PathLike, data: PathLike, **options: object) -> MeasuredModel:
    """Measure a model on labelled photos that it has not learned from.

    Args:
        model: a run, a bundle, a lone ``.onnx`` file, or a model of a registry.
        data: class folders, or a table of photos.
        options: those of ``hangtag evaluate --help``.

    Raises:
        DataError: a class is unknown to the model, or no photo is left.
        InputError: there is no such option, or it cannot be used.
    """
    from trainer.judging.measure import Measurement

    return MeasuredModel(os.fspath(model), _run("evaluate", Measurement, [model, data], options))


def label(source: PathLike, model: object, out: PathLike, **options: object) -> LabeledCatalogue:
    """Label a catalogue: one row in, one row out, in the same order. A job that was stopped goes on.

    Args:
        source: a folder of photos, or a file or URL that names them.
        model: what :func:`export` gave, a path, or a name of the registry; of several, each by the name of its columns:
            ``{"category": "shop@champion", "colour": "colours@champion"}``.
        out: the result; ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        options: those of ``hangtag label --help``, such as ``precision``, ``image_column``, ``workers``.

    Raises:
        InputError: there is no such option, or the source or an option cannot be used.
        BundleError: the model is damaged, or disagrees with itself on this machine.
        JobError: another run is at work on it, or no photo at all could be labelled.
    """
    if isinstance(model, Mapping):
        model = [f"{name}={os.fspath(one)}" for name, one in model.items()]
    return LabeledCatalogue(_run("label", Path, [source], {"model": model, "out": out, **options}))


def _run(name: str, kind: type[Answer], arguments: list[PathLike], options: Mapping[str, object]) -> Answer:
    """Call a command in this process, and give what its function returns."""
    from typer.exceptions import Abort, TyperException
    from typer.main import get_command

    from hangtag.cli import COMMANDS, make_app
    from models.session import refuse_telemetry

    refuse_telemetry()
    group = cast("TyperGroup", get_command(make_app([COMMANDS[name]])))
    words = [name, *_words(name, group, options), "--", *(os.fspath(one) for one in arguments)]
    try:
        answer = group.main(words, prog_name="hangtag", standalone_mode=False)
    except TyperException as error:
        msg = f"hangtag.{name}: {error.format_message()}"
        raise InputError(msg) from error
    except Abort as stopped:
        raise KeyboardInterrupt from stopped
    if not isinstance(answer, kind):
        _refuse(name, ExitCode(cast("int", answer)))
    return answer


def _refuse(name: str, status: ExitCode) -> NoReturn:
    msg = f"hangtag.{name} ended with exit status {status.value} ({status.name.lower()}); what it printed says why."
    error = HangtagError(msg)
    error.exit_code = status
    raise error


def _words(name: str, group: "TyperGroup", options: Mapping[str, object]) -> Iterator[str]:
    """Options as words of a command line."""
    known = {
        word.removeprefix("--").replace("-", "_"): (word, param.secondary_opts, getattr(param, "is_flag", False))
        for param in group.commands[name].params
        for word in param.opts
        if word.startswith("--")
    }
    for option, value in options.items():
        if option not in known:
            near = get_close_matches(option, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"hangtag {name} --help names them."
            msg = f"hangtag.{name} has no option {option}; {hint}"
            raise InputError(msg)
        word, opposite, is_flag = known[option]
        if isinstance(value, bool) and not is_flag:
            msg = f"hangtag.{name}: {option} needs a value, got {value}; leave it out, or see hangtag {name} --help."
            raise InputError(msg)
        match value:
            case None:
                pass
            case True:
                yield word
            case False:
                yield from opposite[:1]
            case Mapping():
                yield from (f"{word}={key}={_text(one)}" for key, one in value.items())
            case list() | tuple():
                yield from (f"{word}={_text(one)}" for one in value)
            case _:
                yield f"{word}={_text(value)}"


def _text(value: object) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)
