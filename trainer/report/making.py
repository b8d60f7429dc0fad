"""How a network was made, and what it takes."""

from collections.abc import Iterator, Mapping

from models.text import number_of
from pages.text import duration
from trainer.report.material import ReportMaterial, Speed
from trainer.report.rates import percent

__all__ = ["made_with", "settings", "size_and_speed"]

_SAID_ELSEWHERE = frozenset({"schema_version", "name", "classes", "made_with"})
_MEGABYTE = 1_000_000


def size_and_speed(speed: Speed) -> dict[str, str]:
    """Names and plain text."""
    threads = number_of(speed.threads, "thread", "threads")
    return {
        "Parameters": f"{speed.parameters:,}",
        "Model file": f"{speed.model_bytes / _MEGABYTE:,.1f} MB",
        "Speed": f"{speed.images_per_s:,.0f} images/s on {threads}, decoding apart",
        "Training": duration(speed.train_seconds),
        "Waiting for data": f"{percent(speed.waiting)} of the training",
    }


def settings(material: ReportMaterial) -> dict[str, str]:
    """What decided the training, but its classes, in the order of ``args.json``: names and plain text."""
    args = material.args.model_dump(mode="json", exclude=set(_SAID_ELSEWHERE))
    return dict(_flat(args))


def _flat(args: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in args.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def made_with(material: ReportMaterial) -> str:
    """Packages and their versions."""
    return ", ".join(f"{package} {version}" for package, version in material.args.made_with.items())
