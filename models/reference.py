"""How people name a model: by a path, or as ``shop@champion`` and ``shop@3`` of a registry."""

from dataclasses import dataclass
from pathlib import Path

from models.options import DEFAULT_REGISTRY
from models.registry import open_registry

__all__ = ["DEFAULT_REGISTRY", "ModelReference", "resolve_model"]


@dataclass(frozen=True)
class ModelReference:
    """A model that was looked up.

    Attributes:
        path: a bundle, or a lone ``.onnx`` file, on this machine.
        said: as it is told to people: ``shop@3``, or the path.
    """

    path: Path
    said: str


def resolve_model(model: str | Path, registry: str = DEFAULT_REGISTRY) -> ModelReference:
    """Look a model up. What is there under that path is that path; else what has an ``@`` is of the registry.

    Raises:
        RegistryError: the registry has no such model, version or alias.
        BundleError: the bundle there is damaged.
    """
    path, text = Path(model), str(model)
    if path.exists() or "@" not in text:
        return ModelReference(path, text)
    name, _, which = text.rpartition("@")
    version, bundle = open_registry(registry).find(name, which)
    return ModelReference(bundle, f"{name}@{version}")
