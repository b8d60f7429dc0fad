"""What tells two versions of a model apart."""

from dataclasses import dataclass
from typing import Any

from models.bundle import Bundle, read_manifest
from models.manifest import Variant
from models.precision import promise_text, thresholds_for
from models.registry import Registry
from models.registry_history import Event, What

__all__ = ["Setting", "VersionDiff", "VersionName", "diff_versions"]


@dataclass(frozen=True)
class VersionName:
    """A version that was looked up, such as ``shop@3``."""

    model: str
    version: int

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Setting:
    """Something that each version has its own value of; none where one of them has none."""

    name: str
    before: Any
    after: Any

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return bool(self.before == self.after)


@dataclass(frozen=True)
class VersionDiff:
    """Two versions side by side.

    Attributes:
        before, after: which ones.
        labels_added: that only ``after`` knows, in its order.
        labels_removed: that only ``before`` knows, in its order.
        settings: accuracies, sizes, variants, preprocessing and the rest, those that are equal too.
        between: what happened to the model after the earlier one of both was published, up to when the later one was,
            the oldest first; empty where they are of two models.
    """

    before: VersionName
    after: VersionName
    labels_added: tuple[str, ...]
    labels_removed: tuple[str, ...]
    settings: tuple[Setting, ...]
    between: tuple[Event, ...]


def diff_versions(registry: Registry, before: VersionName, after: VersionName) -> VersionDiff:
    """Compare two versions by what their bundles and the history say; no photo is labelled.

    Raises:
        RegistryError: one of them is not there.
        BundleError: one of them is damaged.
    """
    first, second = (read_manifest(registry.path(name.model, name.version)) for name in (before, after))
    old, new = first.manifest.labels, second.manifest.labels
    settings, others = _settings(first), _settings(second)
    names = [*settings, *(name for name in others if name not in settings)]
    return VersionDiff(
        before=before,
        after=after,
        labels_added=tuple(label for label in new if label not in old),
        labels_removed=tuple(label for label in old if label not in new),
        settings=tuple(Setting(name, settings.get(name), others.get(name)) for name in names),
        between=_between(registry, before, after),
    )


def _settings(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    found: dict[str, Any] = {
        "architecture": manifest.arch,
        "labels": len(manifest.labels),
        "test accuracy": manifest.accuracy,
        "default variant": manifest.default_variant,
        "variants": ", ".join(sorted(manifest.variants)),
        **{f"preprocess {name}": value for name, value in manifest.preprocess.model_dump(mode="json").items()},
    }
    for name, variant in sorted(manifest.variants.items()):
        found |= {f"{name} {what}": value for what, value in _of_variant(bundle, name, variant).items()}
    return found


def _of_variant(bundle: Bundle, name: str, variant: Variant) -> dict[str, Any]:
    ruling = thresholds_for(bundle.manifest.metadata(name), None)
    thresholds = [threshold for threshold in ruling if threshold is not None]
    return {
        "validation accuracy": variant.accuracy,
        "bytes": (bundle.path / variant.file).stat().st_size,
        "temperature": variant.temperature,
        "precision promised": promise_text(variant.precision),
        "lowest threshold": min(thresholds, default=None),
        "highest threshold": max(thresholds, default=None),
        "unknown limit": variant.unknown.limit if variant.unknown else None,
    }


def _between(registry: Registry, before: VersionName, after: VersionName) -> tuple[Event, ...]:
    if before.model != after.model:
        return ()
    events = registry.history(before.model).events()
    started = {event.version: event.number for event in events if event.what is What.PUBLISHED}
    first, last = sorted((started[before.version], started[after.version]))
    return tuple(event for event in events if first < event.number <= last)
