"""The requests of ``hangtag label`` and ``hangtag submit``, and the catalogue that they open."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalogue.catalogue import Catalogue, open_catalogue
from catalogue.writers import writable
from models.errors import InputError
from models.manifest import AUTO
from models.reference import DEFAULT_REGISTRY
from worker.job.parts import check_no_clash
from worker.job.spec import QUESTION_NAME, JobOptions
from worker.priority import Priority
from worker.results.by_group import check_group_column
from worker.results.review_list import check_review_columns

_NAME: Final = re.compile(QUESTION_NAME)


@dataclass(frozen=True)
class JobRequest:
    """The request for a labelling job.

    Attributes:
        source: a folder of photos, or a file that names them; a path, or an ``s3://`` or ``http(s)://`` URL.
        model: a bundle, a lone ``.onnx`` file, or a name of the registry; of several models, each by the name of its
            question.
        options: those that change the results.
        variant: which of the bundle's models; ``auto`` is the bundle's default, or float32 where that one's golden
            samples disagree.
        image_column: the column with the paths. Default: the obvious one.
        image_root: where relative paths start, on every machine that labels: a folder or a URL.
        encoding: of a text catalogue. Default: found from its first bytes.
        allow_unsized: take a catalogue from the web whose host gives no length.
        per_host: downloads from one host at once, in each process.
        registry: where names such as ``shop@champion`` are looked up.
    """

    source: Path | str
    model: Path | str | Mapping[str, Path | str]
    options: JobOptions
    variant: str = AUTO
    image_column: str | None = None
    image_root: Path | str | None = None
    encoding: str | None = None
    allow_unsized: bool = False
    per_host: int | None = None
    registry: str = DEFAULT_REGISTRY

    @property
    def models(self) -> Mapping[str, Path | str]:
        """Each model by the name of its question, which is empty for the only model of a job.

        Raises:
            InputError: a name cannot be that of a question, or two are alike.
        """
        if not isinstance(self.model, Mapping):
            return {"": self.model}
        names = list(self.model)
        if not names or not all(map(_NAME.fullmatch, names)) or len({name.lower() for name in names}) < len(names):
            msg = (
                "Expected a name before each of several models, no two alike, of letters, digits, '_' and '-' (at most "
                f"40), got {', '.join(map(repr, names)) or 'none'}; such as --model category=shop@champion."
            )
            raise InputError(msg)
        return self.model

    def catalogue(
        self,
        ending: str,
        *,
        trees: Collection[str] = (),
        confined: bool = False,
        given: Catalogue | None = None,
        begun: bool = False,
    ) -> Catalogue:
        """Open the source, or take the ``given`` rows, as a result with this ending can hold them.

        ``trees``: names of the questions whose models have a tree of labels, and so add more columns. ``begun``: there
        is a job already, perhaps of an earlier version, which added fewer columns.

        Raises:
            InputError: the source or an option cannot be used.
        """
        options = self.options
        catalogue = given or open_catalogue(
            self.source,
            self.image_column,
            self.image_root,
            self.encoding,
            options.allow_hosts,
            confined=confined,
            unsized=self.allow_unsized,
        )
        catalogue.check_column(options.group_column, "--group-column")
        for name in self.models:
            own = options.of_question(name)
            if not begun:
                check_no_clash(catalogue.schema.names, own.prefix, tree=name in trees)
            check_group_column(catalogue.schema, own.group_column, own.prefix)
            check_review_columns(catalogue.image_column, own)
        if isinstance(self.model, Mapping):
            check_no_clash(catalogue.schema.names, options.prefix, worst=True)
        return writable(catalogue, ending)


@dataclass(frozen=True, kw_only=True)
class LabelRequest(JobRequest):
    """The request of ``hangtag label``.

    Attributes:
        output: the result; ends in ``.parquet``, ``.csv`` or ``.jsonl``.
        previous: an earlier result, from which rows with the same photo are taken over.
        workers: how many processes. Default: one a core.
        restart: throw an earlier run's work away.
        retry_failed: try again the failed rows of a finished job that may succeed now, and write its result again.
    """

    output: Path
    previous: Path | None = None
    workers: int | None = None
    restart: bool = False
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmitRequest(JobRequest):
    """The request of ``hangtag submit``; names in a registry are looked up for each job.

    Attributes:
        name: of the job.
        previous: name of an earlier job, from which rows with the same photo are taken over.
        priority: which jobs' chunks are taken first.
    """

    name: str
    previous: str | None = None
    priority: Priority = Priority.NORMAL
