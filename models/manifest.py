"""``manifest.json``: what a bundle holds, and the SHA-256 of each of its files."""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self, TypeVar
from unicodedata import normalize

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import BundleError, DataError
from models.preprocess import PreprocessSpec
from models.statistics.confidence import PrecisionTarget, Probability, Thresholds, UnknownLimit
from models.taxonomy import Taxonomy

SCHEMA_VERSION: Final = 1
AUTO: Final = "auto"
"""Asks for the default variant."""
FLOAT32: Final = "float32"
"""The variant that equals Keras; what Hangtag exports always has it."""
METADATA_KEY: Final = "hangtag"
"""The key of the ONNX ``metadata_props`` entry that holds a :class:`ModelMetadata` as JSON."""


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
            msg = f"expected names that differ on every disk, got {other!r} and {name!r}"
            raise ValueError(msg)
    return files


Files = Annotated[dict[FileName, Sha256], AfterValidator(_one_file_each)]
Targets = Annotated[tuple[PrecisionTarget, ...], Field(strict=False)]
Label = Annotated[str, Field(min_length=1, pattern=r"^[^\n\r]*$")]


def _different(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        msg = "expected each label once"
        raise ValueError(msg)
    return labels


Labels = Annotated[tuple[Label, ...], Field(min_length=2, strict=False), AfterValidator(_different)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_Parsed = TypeVar("_Parsed", bound=_Record)


class Quantization(_Record):
    """How a variant was quantized to 8-bit integers.

    Attributes:
        weight_bits: 7 is safe on every processor; 8 only where there are instructions like VNNI: without them sums of
            two products of unsigned activations and signed weights are cut off at 16 bits (AVX2, SSE). Depthwise
            convolutions have 8 always.
        float_layers: the first nodes with weights, if they still compute in floating point.
        photos: how many training photos the ranges of the activations were found on.
    """

    weight_bits: Literal[7, 8]
    float_layers: Annotated[tuple[str, ...], Field(strict=False)] = ()
    photos: int = Field(ge=1)


class Variant(_Record):
    """One model of a bundle (``float32``, ``int8``, ``float16``).

    Attributes:
        file: name of the ONNX file inside the bundle.
        edge: name of the ONNX file of the same model that takes one photo of any size, if any.
        ort: name of the same as ``file`` in ONNX Runtime's own format, for its mobile build, if any.
        edge_ort: the same for ``edge``.
        quantization: how it was quantized; None if it was not.
        accuracy: share of the run's validation photos that it labels right.
        temperature: what the logits are divided by, inside the graph.
        thresholds: those in force if a person names no precision.
        precision: the target that they keep; None if they keep none.
        targets: a row for each precision that a person can name, in rising order.
        unknown: where "not one of my products" begins; None if the graph has no output ``unknown``.
    """

    file: FileName
    edge: FileName | None = None
    ort: FileName | None = None
    edge_ort: FileName | None = None
    quantization: Quantization | None = None
    accuracy: Probability | None = None
    temperature: float = Field(gt=0.0)
    thresholds: Thresholds
    precision: Probability | None = None
    targets: Targets = ()
    unknown: UnknownLimit | None = None

    @property
    def files(self) -> dict[str, FileName]:
        """Field → file name, of every file of this variant that is there."""
        named = {"file": self.file, "edge": self.edge, "ort": self.ort, "edge_ort": self.edge_ort}
        return {field: name for field, name in named.items() if name is not None}


class Measured(_Record):
    """The figure that a run's report leads with: of test photos, or of more photos out of fold; else of validation."""

    model_config = ConfigDict(extra="ignore")  # a registry's history keeps it, which outlives an upgrade

    accuracy: Probability
    photos: int
    split: Literal["test", "out-of-fold", "validation"]

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} ({self.photos:,} {self.split})"


class ModelMetadata(_Record):
    """The metadata inside an ONNX file, so that the file alone is enough on a device."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    version: str
    variant: str
    labels: Labels
    preprocess: PreprocessSpec
    temperature: float = Field(gt=0.0)
    thresholds: Thresholds
    precision: Probability | None = None
    targets: Targets = ()
    unknown: UnknownLimit | None = None
    taxonomy: dict[Label, Label] | None = None

    @model_validator(mode="after")
    def _threshold_for_each_label(self) -> Self:
        _check_thresholds(self, _tree_of(self.labels, self.taxonomy), len(self.labels))
        return self

    @property
    def tree(self) -> Taxonomy | None:
        """The tree that the labels are the leaves of; None without one."""
        return _tree_of(self.labels, self.taxonomy)

    def dump(self) -> str:
        """The metadata as JSON; earlier versions can read it where there is no tree."""
        return self.model_dump_json(exclude={"taxonomy"} if self.taxonomy is None else None)


class Manifest(_Record):
    """The contents of ``manifest.json``.

    Attributes:
        schema_version: of this file's format.
        name: of the model.
        version: the UTC time at which the bundle was made, ``YYYYMMDDTHHMMSSZ``.
        arch: the architecture that was trained.
        labels: class names; the position is the column of ``probabilities``.
        preprocess: what turns a photo into the model's input.
        default_variant: the variant that is used when none is asked for.
        default_because: why it is that one, with the figures, for a person; None where there is only one, and in
            older bundles.
        variants: name → ONNX file with its temperature and thresholds.
        files: name → SHA-256, for every file of the bundle but this one.
        accuracy: on the test split, if there was one.
        made_with: package → version.
        taxonomy: of a tree that the labels are the leaves of, label → its parent; None without one.
    """

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    version: str
    arch: str
    labels: Labels
    preprocess: PreprocessSpec
    default_variant: str
    default_because: str | None = None
    variants: dict[str, Variant] = Field(min_length=1)
    files: Files
    accuracy: Probability | None
    made_with: dict[str, str]
    taxonomy: dict[Label, Label] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.default_variant not in self.variants:
            msg = f"default_variant: expected one of {sorted(self.variants)}, got {self.default_variant!r}"
            raise ValueError(msg)
        tree = _tree_of(self.labels, self.taxonomy)
        for name, variant in self.variants.items():
            for field, file in variant.files.items():
                if file not in self.files:
                    msg = f"variants.{name}.{field}: {file!r} is not listed under files"
                    raise ValueError(msg)
            _check_thresholds(variant, tree, len(self.labels), f"variants.{name}.")
        return self

    @property
    def tree(self) -> Taxonomy | None:
        """The tree that the labels are the leaves of; None without one."""
        return _tree_of(self.labels, self.taxonomy)

    def dump(self) -> bytes:
        """The contents of ``manifest.json``; older versions can read it without what is None here."""
        unsaid = {name for name in ("default_because", "taxonomy") if getattr(self, name) is None}
        return self.model_dump_json(indent=1, exclude=unsaid).encode()

    def metadata(self, variant: str) -> ModelMetadata:
        """What the ONNX file of a variant must carry."""
        chosen = self.variants[variant]
        return ModelMetadata(
            schema_version=self.schema_version,
            name=self.name,
            version=self.version,
            variant=variant,
            labels=self.labels,
            preprocess=self.preprocess,
            temperature=chosen.temperature,
            thresholds=chosen.thresholds,
            precision=chosen.precision,
            targets=chosen.targets,
            unknown=chosen.unknown,
            taxonomy=self.taxonomy,
        )


def _tree_of(labels: tuple[str, ...], parents: dict[str, str] | None) -> Taxonomy | None:
    if not parents:
        return None
    try:
        return Taxonomy(labels, parents)
    except DataError as error:
        msg = f"taxonomy: {error}"
        raise ValueError(msg) from error


def _check_thresholds(rules: Variant | ModelMetadata, tree: Taxonomy | None, labels: int, place: str = "") -> None:
    tables = {"thresholds": rules.thresholds} | {
        f"targets.{number}.thresholds": target.thresholds for number, target in enumerate(rules.targets)
    }
    for name, thresholds in tables.items():
        if len(thresholds) != labels:
            msg = f"{place}{name}: expected {labels}, got {len(thresholds)}"
            raise ValueError(msg)
    nodes = set(tree.nodes) if tree else set()
    for number, target in enumerate(rules.targets):
        if target.nodes.keys() != nodes:
            found = ", ".join(target.nodes) or "none"
            msg = f"{place}targets.{number}.nodes: expected those of the taxonomy, got {found}"
            raise ValueError(msg)
    precisions = [target.precision for target in rules.targets]
    if len(set(precisions)) != len(precisions):
        msg = f"{place}targets: expected each precision once, got {precisions}"
        raise ValueError(msg)
    if rules.precision is not None and rules.precision not in precisions:
        msg = f"{place}precision: expected one of {precisions}, got {rules.precision}"
        raise ValueError(msg)


def parse_manifest(text: str | bytes, source: str) -> Manifest:
    """Parse ``manifest.json``, or raise BundleError; ``source`` is its path, for messages."""
    return _parse(Manifest, text, source)


def parse_metadata(text: str, source: str) -> ModelMetadata:
    """Parse the metadata of an ONNX file, or raise BundleError; ``source`` is its path, for messages."""
    return _parse(ModelMetadata, text, source)


def _parse(kind: type[_Parsed], text: str | bytes, source: str) -> _Parsed:
    _check_schema_version(text, source)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        msg = f"{source} breaks the manifest schema at {place}: {first['msg']}; export the bundle again."
        raise BundleError(msg) from error


def _check_schema_version(text: str | bytes, source: str) -> None:
    try:
        found = json.loads(text, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        msg = f"Expected JSON in {source}, got something else ({error}); export the bundle again."
        raise BundleError(msg) from error
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != SCHEMA_VERSION:
        msg = (
            f"Expected schema_version {SCHEMA_VERSION} in {source}, got {version!r}; "
            "upgrade Hangtag, or export the bundle again."
        )
        raise BundleError(msg)


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse JSON with a name twice: one reader would take the first value, another the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        msg = f"{twice!r} comes twice"
        raise ValueError(msg)
    return found
