"""A second small model, with other answers than the first."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.conftest import Golden
from tests.variants import derive, half_sure


@pytest.fixture(scope="session")
def other_bundle(golden: Golden, reference_photos: list[Path]) -> Path:
    """A bundle whose network does not look at some of its features; not to be changed."""

    def look_away(graph: onnx.GraphProto) -> None:
        product = next(node for node in reversed(graph.node) if node.op_type in {"MatMul", "Gemm"})
        weights = next(array for array in graph.initializer if array.name in product.input)
        numbers = np.array(numpy_helper.to_array(weights))
        numbers[numbers.shape[0] // 2 :] = 0
        weights.CopyFrom(numpy_helper.from_array(numbers, weights.name))

    return golden.get(
        "other", lambda place: derive(place, reference_photos, calibration=half_sure(8), change=look_away)
    )
