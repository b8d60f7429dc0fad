"""Finds a model by its path, or by its name in a registry: ``shop@champion`` or ``shop@3``.

``hangtag classify`` imports this module. The registry's code is imported only for names in a registry.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError, RegistryError
from models.text import is_name, printable

DEFAULT_REGISTRY: Final = "registry"
_NAMED: Final = re.compile(r"([A-Za-z0-9_-]+)=(.+)")


@dataclass(frozen=True)
class ModelReference:
    """A model that was found by its path or by its name in a registry.

    Attributes:
        path: a bundle, or a single ``.onnx`` file, on this machine.
        name: the name to show: ``shop@3``, or the path.
        requested: the name that the user gave, such as ``shop@champion``. None for a path.
        registry: the registry's path or URL. None for a path.
    """

    path: Path
    name: str
    requested: str | None = None
    registry: str | None = None

    @property
    def by_alias(self) -> bool:
        """Whether the user gave an alias, which may later point at another version."""
        return self.requested is not None and self.requested != self.name

    @property
    def words(self) -> str | None:
        """A sentence with the alias and its version; None if there is no alias."""
        return f"{self.requested} is {self.name} of the registry at {self.registry}." if self.by_alias else None


def resolve_model(model: str | Path, registry: str = DEFAULT_REGISTRY) -> ModelReference:
    """Find a model: by an existing path, or by ``NAME@WHICH`` in the registry. Raises RegistryError, BundleError."""
    path, text = Path(model), str(model)
    name, _, which = text.rpartition("@")
    if path.exists() or not (is_name(name) and is_name(which)):
        return ModelReference(path, text)
    from models.registry.registry import open_registry

    opened = open_registry(registry)
    try:
        version, bundle = opened.find(name, which)
    except RegistryError as error:
        msg = f"{error} No file is called {text} either. Check --model, and --registry or HANGTAG_REGISTRY."
        raise RegistryError(msg) from error
    return ModelReference(bundle, f"{name}@{version}", text, opened.place)


def version_of(model: ModelReference, digest: str) -> ModelReference | None:
    """The version of this model whose bundle has the given digest, or None."""
    if model.requested is None or model.registry is None:
        return None
    from models.registry.registry import open_registry

    opened, name = open_registry(model.registry), model.requested.rpartition("@")[0]
    for version, state in opened.state(name).versions.items():
        if state.digest == digest:
            return ModelReference(opened.path(name, version), f"{name}@{version}", model.requested, model.registry)
    return None


def models_given(texts: Sequence[str]) -> Path | dict[str, str]:
    """The model of ``--model``, or several models given as ``NAME=MODEL``.

    The path of an existing model may contain ``=``. Raises InputError.
    """
    if len(texts) == 1 and (Path(texts[0]).exists() or not _NAMED.fullmatch(texts[0])):
        return Path(texts[0])
    named: dict[str, str] = {}
    for text in texts:
        match = _NAMED.fullmatch(text)
        if match is None or match[1] in named:
            why = "has no name" if match is None else "repeats a name"
            msg = f"Expected a different name for each model, as in --model category=shop@champion; {text} {why}."
            raise InputError(msg)
        named[match[1]] = match[2]
    return named


def find_model(model: str | Path, registry: str = DEFAULT_REGISTRY) -> Path:
    """Find a model. Print an alias and its version on stderr. Raises RegistryError."""
    reference = resolve_model(model, registry)
    if reference.words:
        print(printable(reference.words), file=sys.stderr)
    return reference.path
