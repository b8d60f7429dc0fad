"""The settings of ``hangtag retrain``, in a TOML file. Does not import TensorFlow.

docs/reference/toml.md describes each key. ``[train]``, ``[export]`` and ``[catalogue]`` contain
options of ``hangtag train``, ``hangtag export`` and ``hangtag label``.
"""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from models.errors import HangtagError, InputError
from models.fit import Decode, Fit
from models.registry.registry import check_model_name
from models.text import label_text
from trainer.request import Arch, Balance, TableOptions, parse_duration


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"Expected a time zone such as Europe/Zurich or UTC, got {name!r}"
        raise InputError(msg) from error


def _check_uri(uri: str) -> None:
    if not uri.strip():
        msg = "Expected a tracking URI such as http://mlflow:5000, here or in MLFLOW_TRACKING_URI"
        raise InputError(msg)


def _checked_by(check: Callable[[str], object]) -> AfterValidator:
    def checked(text: str) -> str:
        try:
            check(text)
        except HangtagError as error:
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(checked)


def _place(text: str, info: ValidationInfo) -> str:
    """Relative paths start at the folder of the config file, because cron starts in another folder."""
    return text if "://" in text or info.context is None else str(info.context / text)


def _path(path: Path, info: ValidationInfo) -> Path:
    return path if info.context is None else Path(info.context / path)


def _weights(text: str, info: ValidationInfo) -> str:
    return text if text in {"none", "imagenet"} else _place(text, info)


Flag = Annotated[bool, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0.0)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Points = Annotated[float, Field(strict=True, ge=0.0, le=100.0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Duration = Annotated[str, _checked_by(parse_duration)]
Placed = Annotated[Path, AfterValidator(_path)]
Place = Annotated[str, AfterValidator(_place)]
"""A path, or a URL."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainSettings(_Section):
    """``[train]``. By default, ``arch`` is the champion's, and with it width and ``image_size``.

    ``image_column`` and the fields below it are for data in a table.
    """

    warm_start: Flag = True
    arch: Arch | None = None
    weights: Annotated[str, AfterValidator(_weights)] | None = None
    image_size: Annotated[int, Field(strict=True, ge=16, le=1024)] | None = None
    fit: Fit | None = None
    decode: Decode | None = None
    epochs: Annotated[int, Field(strict=True, ge=0)] | None = None
    batch: Count | None = None
    balance: Balance | None = None
    folds: Annotated[int, Field(strict=True, ge=0, le=10)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    time_limit: Duration | None = None
    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    where: tuple[str, ...] = ()
    image_root: Place | None = None
    image_suffix: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()
    headers: Annotated[tuple[str, ...], Field(exclude=True, repr=False)] = ()
    taxonomy: Placed | None = None

    @property
    def table(self) -> TableOptions:
        """The options for data in a table."""
        return TableOptions(**{field.name: getattr(self, field.name) or None for field in fields(TableOptions)})

    @model_validator(mode="after")
    def _no_single_fold(self) -> "TrainSettings":
        if self.folds == 1:
            msg = "folds: give 0, or 2 to 10"
            raise ValueError(msg)
        return self


class ExportSettings(_Section):
    """``[export]``."""

    int8: Flag = True
    edge: Flag = False
    default_variant: Literal["auto", "float32"] = "auto"


class GateSettings(_Section):
    """``[gate]``: limits for a challenger. Points are percentage points. ``None`` means no limit."""

    max_unread_share: Share = 0.02
    min_gain_points: Points = 0.0
    max_loss_points: Points = 1.0
    max_class_loss_points: Points = 5.0
    max_calibration_loss: Share = 0.02
    max_coverage_loss_points: Points = 10.0
    max_size_ratio: Positive = 1.5
    min_speed_ratio: Annotated[float, Field(strict=True, ge=0.0)] = 0.67
    max_size_mb: Positive | None = None
    min_new_class_recall: Share = 0.5
    min_accuracy: Share = 0.0
    max_changed_share: Share | None = None


Label = Annotated[str, AfterValidator(label_text)]


class ClassMap(_Section):
    """``[classes]``: renamed and dropped classes of the champion."""

    rename: Mapping[Label, Label] = Field(default_factory=dict)
    """Old name → new name. Classes with the same new name are merged."""
    drop: tuple[Label, ...] = ()

    def name_of(self, label: str) -> str:
        """A class's current name. Dropped classes are not renamed."""
        label = label_text(label)
        return label if label in self.drop else self.rename.get(label, label)

    def check(self, champion: Sequence[str]) -> None:
        """Compare the names with the champion's labels, to find typos before hours of training.

        ``[classes]`` stays in the settings after a promotion, so the champion may already have the new names, or
        lack a dropped class.
        """
        renamed = {old: new for old, new in self.rename.items() if old != new}
        for old, new in renamed.items():
            if new in renamed:
                became = renamed[new]
                msg = (
                    f"Expected the current name for {old} in [classes], got {new}, which is renamed to {became}; "
                    f"use {became}."
                )
                raise InputError(msg)
            for name in (old, new):
                if name in self.drop:
                    msg = (
                        f"Expected {name} either renamed or dropped in [classes], got both ({old} → {new}); remove one."
                    )
                    raise InputError(msg)
        labels = {*map(label_text, champion)}
        known = {renamed.get(label, label) for label in labels} | labels
        for old, new in self.rename.items():
            if old not in known and new not in known:
                names = ", ".join(sorted(champion))
                msg = f"Expected a class of the champion in [classes], got {old} → {new}; its classes are {names}."
                raise InputError(msg)


class CatalogueSettings(_Section):
    """``[catalogue]``: a catalogue on which champion and challenger are compared."""

    source: Place
    rows: Count = 2000
    image_column: str | None = None
    image_root: Place | None = None
    image_suffix: str | None = None
    encoding: str | None = None
    allow_hosts: tuple[str, ...] = ()
    headers: Annotated[tuple[str, ...], Field(exclude=True, repr=False)] = ()


class DriftSettings(_Section):
    """``[drift]``: the jobs that ``--when drift`` checks. Each path or ``s3://`` URL names a job or folder of jobs."""

    jobs: tuple[Place, ...] = ()


class ScheduleSettings(_Section):
    """``[schedule]``: when the cycle runs. Either ``cron`` (five fields) or ``every`` (such as ``6h``)."""

    cron: str | None = None
    every: Duration | None = None
    timezone: Annotated[str, _checked_by(_check_zone)] = "UTC"
    when: Literal["data", "drift"] = "data"

    @model_validator(mode="after")
    def _one_of_both(self) -> "ScheduleSettings":
        if (self.cron is None) == (self.every is None):
            msg = 'give either cron = "0 3 * * 0" or every = "6h"'
            raise ValueError(msg)
        return self


class MlflowSettings(_Section):
    """``[mlflow]``: logs each cycle to MLflow. ``uri`` defaults to ``MLFLOW_TRACKING_URI``."""

    uri: Annotated[str, _checked_by(_check_uri)] = Field(
        default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", ""), validate_default=True
    )
    experiment: str = "hangtag"


class RetrainConfig(_Section):
    """The settings of a retraining, with absolute paths. ``folder`` has the cycles."""

    name: Annotated[str, _checked_by(check_model_name)]
    data: Placed
    registry: Annotated[Place, Field(validate_default=True)] = "registry"
    folder: Placed
    corrections: Placed | None = None
    splits: Placed | None = None
    keep: Count = 3
    train: TrainSettings = TrainSettings()
    export: ExportSettings = ExportSettings()
    gate: GateSettings = GateSettings()
    classes: ClassMap = ClassMap()
    catalogue: CatalogueSettings | None = None
    drift: DriftSettings = DriftSettings()
    schedule: ScheduleSettings | None = None
    mlflow: MlflowSettings | None = None

    @model_validator(mode="after")
    def _drift_knows_where_to_look(self) -> "RetrainConfig":
        if self.schedule and self.schedule.when == "drift" and not self.drift.jobs:
            msg = 'when = "drift" in [schedule] needs folders of jobs: jobs = ["jobs"] under [drift]'
            raise ValueError(msg)
        return self


def read_config(path: Path) -> RetrainConfig:
    """Read the settings, and make paths absolute. Raises an InputError that names the wrong key."""
    path = path.absolute()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"Expected a retraining's settings at {path}, but the system answered {error.strerror}; check the path."
        raise InputError(msg) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"Expected a retraining's settings in TOML at {path}, but could not read them: {error}."
        raise InputError(msg) from error
    own = {"folder": f"retraining/{raw.get('name')}"}
    try:
        return RetrainConfig.model_validate(own | raw, context=path.parent)
    except ValidationError as error:
        raise InputError(_fault(path, error)) from error


def _fault(path: Path, error: ValidationError) -> str:
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    key, value = ".".join(map(str, first["loc"])) or "the file", first["input"]
    if first["type"] == "extra_forbidden":
        return f"{path}: {key} is not a key of a retraining's settings; see docs/reference/toml.md."
    reason = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list in brackets").rstrip(".")
    got = "" if isinstance(value, dict) or repr(value) in reason else f", got {value!r}"
    return f"{path}: {key} is invalid ({reason}){got}; see docs/reference/toml.md."
