"""What there is in a registry, a record a version."""

from collections.abc import Callable
from dataclasses import dataclass

from models.errors import HangtagError
from models.registry import Registry
from models.registry_state import State, VersionState

__all__ = ["ListedVersion", "list_versions", "versions_of"]


@dataclass(frozen=True)
class ListedVersion:
    """A version of a model.

    Attributes:
        model: its name.
        version: its number.
        aliases: that mean it.
        accuracy: of the default variant, on the validation photos of its training.
        bytes: of the default variant's ONNX file.
        published_at: in UTC, ISO 8601.
        refused: why a gate refused it; empty where none did.
        digest: of its bundle.
        promise: the precision that it promises by its own choice, or ``none``; nothing where that is not known.
    """

    model: str
    version: int
    aliases: tuple[str, ...]
    accuracy: float | None
    bytes: int | None
    published_at: str
    refused: tuple[str, ...]
    digest: str
    promise: str | None


def list_versions(registry: Registry, damaged: Callable[[str], None]) -> list[ListedVersion]:
    """All versions of all models, in order.

    Args:
        registry: to look in.
        damaged: is told of a model whose history cannot be read; the others are listed all the same.
    """
    found: list[ListedVersion] = []
    for name in registry.names():
        try:
            found += versions_of(name, registry.state(name))
        except (HangtagError, OSError) as error:
            damaged(f"{name}: {error}")
    return found


def versions_of(name: str, state: State) -> list[ListedVersion]:
    """The versions of one model, in order."""
    return [_listed(name, number, what, state) for number, what in sorted(state.versions.items())]


def _listed(name: str, number: int, what: VersionState, state: State) -> ListedVersion:
    aliases = tuple(sorted(alias for alias, to in state.aliases.items() if to == number))
    return ListedVersion(
        model=name,
        version=number,
        aliases=aliases,
        accuracy=what.accuracy,
        bytes=what.bytes,
        published_at=what.published_at,
        refused=what.refused,
        digest=what.digest,
        promise=what.promise,
    )
