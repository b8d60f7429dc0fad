from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from trainer.request import Arch

QUICK = {Arch.CNN, Arch.EFFICIENTNET_LITE0}
SLOWER = {Arch.SIMPLE, Arch.MOBILENET}


def by_speed(archs: Iterable[Arch]) -> list[Any]:
    """Architectures as parameters; ``make test-all`` takes a few more, and slow ones are marked as proofs."""
    marks = {**dict.fromkeys(QUICK, ()), **dict.fromkeys(SLOWER, pytest.mark.rest)}
    return [pytest.param(arch, id=arch.value, marks=marks.get(arch, pytest.mark.proof)) for arch in archs]


@pytest.fixture(scope="module", params=by_speed(Arch))
def arch(request: pytest.FixtureRequest) -> Arch:
    return request.param


@pytest.fixture(scope="module", params=by_speed(arch for arch in Arch if arch.is_transfer and not arch.is_lite))
def family(request: pytest.FixtureRequest) -> Arch:
    """Every architecture of ``keras.applications``."""
    return request.param


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Any]:
    """A network with random weights, 64 px."""
    from trainer.networks.build import build_network
    from trainer.request import NamedWeights

    def build(arch: Arch, classes: int = 3, size: int = 64, alpha: float | None = None) -> Any:
        return build_network(arch, size, classes, weights=NamedWeights.NONE, alpha=alpha)

    return build


@pytest.fixture(scope="module")
def network(arch: Arch, random_network: Callable[..., Any]) -> Any:
    """A network of every architecture; read-only."""
    return random_network(arch)


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
