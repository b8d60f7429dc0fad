"""``manifest.json``: the contents of a bundle, and the SHA-256 of each file."""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from unicodedata import normalize

from pydantic import AfterValidator, Field, ValidationError, model_validator

from models.errors import BundleError, DataError
from models.preprocess import PreprocessSpec
from models.statistics.confidence import Calibration, Probability, StrictModel, Thresholds
from models.taxonomy import Taxonomy

AUTO: Final = "auto"
"""Selects the default variant."""
FLOAT32: Final = "float32"
"""Every bundle has this variant, which agrees with the Keras model."""
INT8: Final = "int8"
METADATA_KEY: Final = "hangtag"
"""The key in ONNX ``metadata_props`` for a :class:`ModelMetadata` as JSON."""


def _stays_inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name:
        msg = f"expected a plain path inside the bundle, got {name!r}"
        raise ValueError(msg)
    return name


FileName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_stays_inside)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _one_file_each(files: dict[str, str]) -> dict[str, str]:
    alone: dict[str, str] = {}
    for name in files:
        other = alone.setdefault(normalize("NFC", name).casefold(), name)
        if other != name:
            msg = f"expected names that differ in more than upper and lower case, got {other!r} and {name!r}"
            raise ValueError(msg)
    return files


Files = Annotated[dict[FileName, Sha256], AfterValidator(_one_file_each)]
Label = Annotated[str, Field(min_length=1, pattern=r"^[^\n\r]*$")]


def _different(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        msg = "expected each label once"
        raise ValueError(msg)
    return labels


Labels = Annotated[tuple[Label, ...], Field(min_length=2, strict=False), AfterValidator(_different)]


_Parsed = TypeVar("_Parsed", bound=StrictModel)


class Quantization(StrictModel):
    """The settings of the int8 variant.

    Attributes:
        float_layers: the first nodes with weights, which stay in floating point. May be empty.
        photos: number of training photos used for the ranges of the activations.
    """

    float_layers: Annotated[tuple[str, ...], Field(strict=False)]
    photos: int = Field(ge=1)


class Variant(Calibration):
    """One model of a bundle, ``float32`` or ``int8``.

    ``file``, ``edge``: file names of the ONNX model and the edge graph. ``accuracy`` is measured on the run's
    validation photos.
    """

    file: FileName
    edge: FileName | None
    quantization: Quantization | None
    accuracy: Probability

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the variant's ONNX files."""
        return (self.file,) if self.edge is None else (self.file, self.edge)


class Measured(StrictModel):
    """A run's accuracy on the larger of the test and out-of-fold sets.

    A run without these sets uses the validation set.
    """

    accuracy: Probability
    photos: int
    split: Literal["test", "out-of-fold", "validation"]

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} ({self.photos:,} {self.split})"


class _Described(StrictModel):
    """Fields of both the manifest and the ONNX metadata.

    Attributes:
        version: the UTC time of the export, ``YYYYMMDDTHHMMSSZ``.
        labels: class names, in the order of the columns of ``probabilities``.
        taxonomy: the parent of each label, in a tree with the labels as leaves; None if there is no tree.
    """

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    version: str
    labels: Labels
    preprocess: PreprocessSpec
    taxonomy: dict[Label, Label] | None

    @property
    def tree(self) -> Taxonomy | None:
        return Taxonomy(self.labels, self.taxonomy) if self.taxonomy else None

    def _check_targets(self, rules: Calibration) -> None:
        try:
            nodes = frozenset(self.tree.nodes) if self.tree else frozenset[str]()
        except DataError as error:
            msg = f"taxonomy: {error}"
            raise ValueError(msg) from error
        rules.check_targets(len(self.labels), nodes)


class ModelMetadata(_Described, Calibration):
    """The metadata inside an ONNX file. An ONNX file with metadata works without its bundle."""

    variant: str

    @model_validator(mode="after")
    def _threshold_for_each_label(self) -> Self:
        self._check_targets(self)
        return self

    @property
    def thresholds(self) -> Thresholds:
        """The threshold of each class for the default precision. If None, all photos of the class go to review."""
        return self.ruling_thresholds(len(self.labels))


class Manifest(_Described):
    """The contents of ``manifest.json``.

    Attributes:
        default_variant: the variant that is used by default.
        default_because: the reason for this default, with figures. None if the bundle has one variant.
        files: the SHA-256 of every file in the bundle except the manifest.
        made_with: versions of packages.
    """

    arch: str
    default_variant: str
    default_because: str | None
    variants: dict[str, Variant] = Field(min_length=1)
    files: Files
    measured: Measured
    made_with: dict[str, str]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.default_variant not in self.variants:
            msg = f"default_variant: expected one of {sorted(self.variants)}, got {self.default_variant!r}"
            raise ValueError(msg)
        for name, variant in self.variants.items():
            if missing := [file for file in variant.files if file not in self.files]:
                msg = f"variants.{name}: {missing[0]!r} is not listed under files"
                raise ValueError(msg)
            try:
                self._check_targets(variant)
            except ValueError as error:
                msg = f"variants.{name}.{error}"
                raise ValueError(msg) from error
        return self

    def metadata(self, variant: str) -> ModelMetadata:
        """The metadata that the ONNX files of a variant must have."""
        chosen = self.variants[variant]
        described = {name: getattr(self, name) for name in _Described.model_fields}
        rules = {name: getattr(chosen, name) for name in Calibration.model_fields}
        return ModelMetadata(variant=variant, **described, **rules)


def parse_file(kind: type[_Parsed], text: str | bytes, source: str) -> _Parsed:
    """Parse a JSON file of a bundle. Errors name the path ``source``. Raises BundleError."""
    _check_version(text, source)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        msg = f"{source} is damaged at {place}: {first['msg']}; export the bundle again."
        raise BundleError(msg) from error


def _check_version(text: str | bytes, source: str) -> None:
    try:
        contents = json.loads(text, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        msg = f"Expected JSON in {source}, got something else ({error}); export the bundle again."
        raise BundleError(msg) from error
    version = contents.get("schema_version") if isinstance(contents, dict) else None
    if version != 1:
        msg = f"Expected version 1 of the format in {source}, got {version!r}; export the bundle again."
        raise BundleError(msg)


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse JSON that repeats a name, because parsers disagree on the value."""
    contents = dict(pairs)
    if len(contents) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"{twice!r} comes twice"
        raise ValueError(msg)
    return contents
