"""The models of a bundle that are compared: a variant's file each, and a variant's edge graph each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Bundle, open_bundle
from models.classifier import Classifier, load
from models.edge import EdgeModel, is_edge, load_edge
from models.errors import BundleError
from models.manifest import ModelMetadata
from models.preprocess import Pixels
from models.session import open_session

__all__ = ["REFERENCE", "Contestant", "Lineup", "open_lineup"]

REFERENCE: Final = "float32"
"""The variant that the others are held against."""


@dataclass(frozen=True)
class Contestant:
    """One ONNX file, loaded.

    Attributes:
        variant: ``float32``, ``int8``, ``float16``.
        path: of the file.
        network: what it holds.
        accuracy: on the run's validation photos, as the manifest has it; none where it does not say.
    """

    variant: str
    path: Path
    network: Classifier | EdgeModel
    accuracy: float | None = None

    @property
    def edge(self) -> bool:
        """Whether it takes one whole photo of any size."""
        return isinstance(self.network, EdgeModel)

    def label(self, square: Pixels, whole: Pixels) -> int:
        """The index of a photo's likeliest class; of equal ones the earlier.

        Args:
            square: the photo as :func:`models.preprocess.preprocess` makes it.
            whole: the photo as :func:`models.preprocess.whole_rgb` makes it.
        """
        if isinstance(self.network, EdgeModel):
            return self.network.run(whole).label
        return int(np.argmax(self.network.predict(square[np.newaxis])[0]))


@dataclass(frozen=True)
class Lineup:
    """All that are compared.

    Attributes:
        metadata: of the first, which the others share but for temperature and thresholds.
        contestants: the reference first where there is one, edge graphs last.
        bundle: where they are from; none for a lone file.
    """

    metadata: ModelMetadata
    contestants: tuple[Contestant, ...]
    bundle: Bundle | None


def open_lineup(path: Path, threads: int) -> Lineup:
    """Load a bundle's models, or a lone ONNX file.

    Args:
        path: a bundle, or a file that Hangtag exported.
        threads: how many threads one call may use.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    if path.is_file():
        network = _open_lone(path, threads)
        return Lineup(network.metadata, (Contestant(network.metadata.variant, path, network),), None)
    bundle = open_bundle(path)
    contestants = (*_squares(bundle, threads), *_edges(bundle, threads))
    return Lineup(contestants[0].network.metadata, contestants, bundle)


def _open_lone(path: Path, threads: int) -> Classifier | EdgeModel:
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"Expected to read {path}, the system answered {error}."
        raise BundleError(msg) from error
    edge = is_edge(open_session(data, str(path), threads))
    return load_edge(data, str(path), threads) if edge else load(path, threads=threads)


def _variants(bundle: Bundle) -> list[str]:
    return sorted(bundle.manifest.variants, key=lambda name: name != REFERENCE)


def _squares(bundle: Bundle, threads: int) -> list[Contestant]:
    known = bundle.manifest.variants
    return [
        Contestant(name, bundle.path / known[name].file, load(bundle.path, name, threads), known[name].accuracy)
        for name in _variants(bundle)
    ]


def _edges(bundle: Bundle, threads: int) -> list[Contestant]:
    edges = {name: bundle.manifest.variants[name].edge for name in _variants(bundle)}
    return [
        Contestant(name, bundle.path / file, load_edge(bundle.read(file), str(bundle.path / file), threads))
        for name, file in edges.items()
        if file
    ]
