"""What a person asks of ``hangtag retrain``, in a TOML file. Loads nothing that trains."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import InputError, RegistryError
from models.fit import Decode, Fit
from models.registry.registry import check_model_name
from trainer.request import Arch, Balance, parse_duration

__all__ = [
    "CatalogueSettings",
    "ClassMap",
    "DriftSettings",
    "ExportSettings",
    "GateSettings",
    "MlflowSettings",
    "RetrainConfig",
    "ScheduleSettings",
    "TrainSettings",
    "check_cron",
    "read_config",
    "zone_of",
]


_UNQUOTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "int_type": "a whole number without quotes",
        "float_type": "a number without quotes",
        "bool_type": "true or false without quotes",
    }
)


def fault_of(path: Path, settings: type[BaseModel], error: ValidationError) -> str:
    """A sentence on the first thing that is wrong.

    Args:
        path: of the file.
        settings: what it was read as.
        error: of reading it.
    """
    first = min(error.errors(), key=lambda fault: fault["type"] == "missing")  # a slip in a key comes before its lack
    place = first["loc"]
    key = ".".join(map(str, place)) or "the file"
    if first["type"] == "extra_forbidden":
        return f"{path}: {key} is no key here{_instead(settings, place)}; see docs/retraining.md."
    expected = _expected(first["type"], first["msg"], first["input"])
    told = first["type"] == "missing" or isinstance(first["input"], dict) or repr(first["input"]) in expected
    got = "" if told else f", got {first['input']!r}"
    return f"{path}: {key} is not what it should be ({expected}){got}; see docs/retraining.md."


def _expected(kind: str, message: str, got: object) -> str:
    if kind == "tuple_type":
        return f"a list such as [{json.dumps(got if isinstance(got, str) else 'vase', ensure_ascii=False)}]"
    if kind == "missing":
        return "it must be given"
    return _UNQUOTED.get(kind, message.removeprefix("Value error, ").rstrip("."))


def _instead(settings: type[BaseModel], place: Sequence[int | str]) -> str:
    """The nearest key, or those that there are."""
    keys = list(_table(settings, place[:-1]).model_fields)
    near = get_close_matches(str(place[-1]), keys, n=1)
    return f": is {near[0]} meant?" if near else f"; there are {', '.join(keys)}"


def _table(settings: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel]:
    """The settings that a table of the file is read as."""
    for part in place:
        kind: Any = settings.model_fields[str(part)].annotation
        kinds = (kind, *get_args(kind))
        settings = next(one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel))
    return settings


_CRON_FIELDS: Final = 5

Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Points = Annotated[float, Field(strict=True, ge=0.0, le=100.0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainSettings(_Record):
    """``[train]``: how the challenger learns; what is not said is as ``hangtag train`` has it.

    Attributes:
        warm_start: whether it begins with the champion's weights, where these fit its architecture.
        arch, weights, alpha, image_size, fit, decode, epochs, batch, patience, balance, folds, seed, time_limit: as the
            options of ``hangtag train``. Without ``arch`` it is the champion's, with its ``alpha`` and ``image_size``.
    """

    warm_start: Flag = True
    arch: Arch | None = None
    weights: str | None = None
    alpha: Annotated[float, Field(strict=True)] | None = None
    image_size: Annotated[int, Field(strict=True, ge=16, le=1024)] | None = None
    fit: Fit | None = None
    decode: Decode | None = None
    epochs: Annotated[int, Field(strict=True, ge=1)] | None = None
    batch: Annotated[int, Field(strict=True, ge=1)] | None = None
    patience: Annotated[int, Field(strict=True, ge=1)] | None = None
    balance: Balance | None = None
    folds: Annotated[int, Field(strict=True, ge=0, le=10)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    time_limit: str | None = None

    @field_validator("time_limit")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        return _time(text)


class ExportSettings(_Record):
    """``[export]``: as the options of ``hangtag export``."""

    int8: Flag = True
    fp16: Flag = False
    edge: Flag = False
    ort: Flag = False


class GateSettings(_Record):
    """``[gate]``: what a challenger must keep to. Points are hundredths of a share; each limit can be set by itself.

    Attributes:
        max_unread_share: so many of the test photos may be gone, changed or unreadable by now; with more of them the
            test is another one.
        min_gain_points: the paired difference of accuracies on the frozen test split must lie above this.
        max_loss_points: its 95% interval may reach this far below 0.
        max_class_loss_points: no class may lose more of its recall than this, beyond noise.
        max_calibration_loss: the calibration error may grow by this (0.01 is a point), beyond noise.
        max_coverage_loss_points: so many more of the photos may go to review, beyond noise.
        max_size_ratio: the default model's bytes against the champion's.
        min_speed_ratio: its images a second on one thread against the champion's.
        max_size_mb: an absolute limit; none where nobody says.
        min_new_class_recall: of each class that the champion does not know.
        min_accuracy: an absolute limit, the only one that a first model must keep to.
        max_changed_share: of the catalogue's rows whose label would change; none where nobody says.
    """

    max_unread_share: Share = 0.02
    min_gain_points: Points = 0.0
    max_loss_points: Points = 1.0
    max_class_loss_points: Points = 5.0
    max_calibration_loss: Share = 0.02
    max_coverage_loss_points: Points = 10.0
    max_size_ratio: Annotated[float, Field(strict=True, gt=0.0)] = 1.5
    min_speed_ratio: Annotated[float, Field(strict=True, ge=0.0)] = 0.67
    max_size_mb: Annotated[float, Field(strict=True, gt=0.0)] | None = None
    min_new_class_recall: Share = 0.5
    min_accuracy: Share = 0.0
    max_changed_share: Share | None = None


class ClassMap(_Record):
    """``[classes]``: what became of the champion's classes that the photos do not have any more.

    Attributes:
        rename: old name → new name; several old ones with the same new one are merged.
        drop: old names that are labelled no more.
    """

    rename: Mapping[str, str] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()


class CatalogueSettings(_Record):
    """``[catalogue]``: real rows on which champion and challenger are compared before a promotion.

    Attributes:
        source: as for ``hangtag label``.
        rows: at most so many are drawn from it.
        image_column, image_root, encoding, allow_hosts: as the options of ``hangtag label``.
    """

    source: str
    rows: Annotated[int, Field(strict=True, ge=1)] = 2000
    image_column: str | None = None
    image_root: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()


class DriftSettings(_Record):
    """``[drift]``: where receipts are looked for by ``--when drift``.

    Attributes:
        jobs: folders of jobs, or job folders of ``hangtag label``; or ``s3://`` URLs of folders of jobs.
    """

    jobs: tuple[str, ...] = ()


class ScheduleSettings(_Record):
    """``[schedule]``: when ``hangtag beat`` lets the cycle run; one of ``cron`` and ``every``.

    Attributes:
        cron: five fields, as in crontab(5).
        every: such as ``6h``; slots are multiples of it since 1970.
        timezone: that the fields of ``cron`` are told in, such as ``Europe/Zurich``.
        when: ``data``: whenever there is something new; ``drift``: only when a job has drifted.
    """

    cron: str | None = None
    every: str | None = None
    timezone: str = "UTC"
    when: Literal["data", "drift"] = "data"

    @field_validator("every")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        return _time(text)

    @model_validator(mode="after")
    def _one_of_both(self) -> "ScheduleSettings":
        if (self.cron is None) == (self.every is None):
            msg = 'give either cron = "0 3 * * 0" or every = "6h"'
            raise ValueError(msg)
        return self


class MlflowSettings(_Record):
    """``[mlflow]``: a tracking server that runs and bundles are logged to besides."""

    uri: str
    experiment: str = "hangtag"


class RetrainConfig(_Record):
    """All that a cycle is asked. Paths are absolute once the file is read; relative ones start at the file's folder.

    Attributes:
        name: of the model in the registry.
        data: labelled photos, as for ``hangtag train``: new ones are simply put there.
        registry: a folder, or an ``s3://`` URL.
        folder: where cycles leave their runs and reports. Default: ``retraining/<name>`` beside the file.
        corrections: what reviewers said: see docs/formats.md; one that is not there yet holds none.
        splits: ``splits.csv`` of the run behind the champion, where the registry does not hold it.
        keep: finished cycles whose photos, weights and bundles stay in ``folder``; of older ones the reports stay.
    """

    name: str
    data: Path
    registry: str = "registry"
    folder: Path | None = None
    corrections: Path | None = None
    splits: Path | None = None
    keep: Annotated[int, Field(strict=True, ge=1)] = 3
    train: TrainSettings = TrainSettings()
    export: ExportSettings = ExportSettings()
    gate: GateSettings = GateSettings()
    classes: ClassMap = ClassMap()
    catalogue: CatalogueSettings | None = None
    drift: DriftSettings = DriftSettings()
    schedule: ScheduleSettings | None = None
    mlflow: MlflowSettings | None = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, text: str) -> str:
        try:
            check_model_name(text)
        except RegistryError as error:
            raise ValueError(str(error)) from error  # which pydantic tells of with the key
        return text

    @model_validator(mode="after")
    def _drift_knows_where_to_look(self) -> "RetrainConfig":
        if self.schedule and self.schedule.when == "drift" and not self.drift.jobs:
            msg = 'when = "drift" of [schedule] needs to know where jobs are: jobs = ["jobs"] under [drift]'
            raise ValueError(msg)
        return self

    @property
    def cycles(self) -> Path:
        """The folder of cycles."""
        assert self.folder is not None  # noqa: S101 - read_config fills it in
        return self.folder


def read_config(path: Path) -> RetrainConfig:
    """Read the file, with absolute paths.

    Raises:
        InputError: it is missing, no TOML, or something in it is not what it should be; the message names the key.
    """
    path = path.absolute()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"Expected a retraining's settings at {path}, the system answered {error.strerror}; check the path."
        raise InputError(msg) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"Expected a retraining's settings in TOML at {path}, could not read them: {error}."
        raise InputError(msg) from error
    try:
        config = RetrainConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError(fault_of(path, RetrainConfig, error)) from error
    if config.schedule:
        _check_schedule(path, config.schedule)
    return config.model_copy(update=_absolute(config, path.parent))


def _check_schedule(path: Path, schedule: ScheduleSettings) -> None:
    """Here and not in the record, so that a cycle that has begun is never held up by it."""
    try:
        zone_of(schedule.timezone)
        if schedule.cron is not None:
            check_cron(schedule.cron)
    except InputError as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error


def _time(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_duration(text)
    except InputError as error:
        raise ValueError(str(error)) from error  # which pydantic tells of with the key
    return text


def _absolute(config: RetrainConfig, base: Path) -> dict[str, Any]:
    """Relative paths start at the file's folder, whatever the current one is: cron has another."""
    found: dict[str, Any] = {
        "data": base / config.data,
        "folder": base / (config.folder or Path("retraining") / config.name),
        "registry": _place(config.registry, base),
        "corrections": base / config.corrections if config.corrections else None,
        "splits": base / config.splits if config.splits else None,
        "drift": DriftSettings(jobs=tuple(_place(jobs, base) for jobs in config.drift.jobs)),
    }
    if config.catalogue:
        root = config.catalogue.image_root
        places = {
            "source": _place(config.catalogue.source, base),
            "image_root": None if root is None else _place(root, base),
        }
        found["catalogue"] = config.catalogue.model_copy(update=places)
    weights = config.train.weights
    if weights not in {None, "none", "imagenet"}:
        found["train"] = config.train.model_copy(update={"weights": str(base / str(weights))})
    return found


def _place(text: str, base: Path) -> str:
    return text if "://" in text else str(base / text)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"Expected [schedule] timezone to be one such as Europe/Zurich or UTC, got {name!r}."
        raise InputError(msg) from error


def check_cron(text: str) -> None:
    """Refuse fields that name no moment.

    Raises:
        InputError: they are not five, not as in crontab(5), or come true on no day.
    """
    from cronsim import CronSim, CronSimError  # few settings have a schedule

    try:
        wrong = len(text.split()) != _CRON_FIELDS or next(CronSim(text, datetime.now(UTC)), None) is None
    except CronSimError:
        wrong = True
    if wrong:
        msg = (
            'Expected [schedule] cron = five fields as in crontab(5), such as "0 3 * * 0" for Sundays at 3, '
            f"got {text!r}."
        )
        raise InputError(msg)
