"""Networks of keras.applications in ONNX: a small matrix. ``benchmarks/architectures.py`` has the whole."""

from typing import Any

import numpy as np
import pytest

from exporter.parity import compare
from models.manifest import ModelMetadata
from models.preprocess import PreprocessSpec

SIZE = 64
LONG = [
    pytest.param(("efficientnet_v2_b0", 3), marks=pytest.mark.proof),
    pytest.param(("convnext_tiny", 2), marks=pytest.mark.proof),
]
MATRIX = [("mobilenet", 2), ("mobilenet_v3_small", 5), *LONG]


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> Any:
    """Random weights, made to have opinions: norms that have seen photos, and logits as large as learned ones."""
    from exporter.load_tensorflow import load_tensorflow

    load_tensorflow()
    import keras

    from trainer.networks.build import build_network
    from trainer.networks.choice import NamedWeights
    from trainer.request import Arch

    keras.utils.set_random_seed(7)
    arch, classes = request.param
    alpha = 0.25 if arch == "mobilenet" else None
    made = build_network(Arch(arch), SIZE, classes, weights=NamedWeights.NONE, alpha=alpha)
    for _ in range(20):
        made(pixels(8).astype(np.float32), training=True)
    logits = made.get_layer("logits")
    weights, biases = logits.get_weights()
    said = keras.Model(made.inputs[0], logits.output)(pixels(8).astype(np.float32), training=False)
    logits.set_weights([weights * 2 / (np.std(said) + 1e-6), biases])
    return made


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def converted(network: Any) -> Any:
    """The same, up to its logits."""
    from exporter.graph import to_logits

    return to_logits(network, SIZE)


@pytest.mark.parametrize("network", MATRIX, indirect=True, ids=str)
def test_onnx_runtime_says_what_keras_says_and_so_does_the_edge_graph(network: Any, converted: Any) -> None:
    from exporter.edge.build import edge_graph
    from exporter.graph import add_metadata, with_probabilities
    from exporter.prove import keras_outputs, onnx_scores
    from models.edge import load_edge

    photos, classes = pixels(5), max(2, network.output_shape[-1])
    metadata = ModelMetadata(
        schema_version=1,
        name="shop",
        version="20261121T000000Z",
        variant="float32",
        labels=tuple(map(str, range(classes))),
        preprocess=PreprocessSpec(size=SIZE),
        temperature=1.0,
        thresholds=(0.5,) * classes,
    )
    model = add_metadata(with_probabilities(converted, 1.0), metadata)
    expected = keras_outputs(network, photos).scores(1.0, None).probabilities
    assert np.ptp(expected) > 0.05, "a network that has no opinion proves nothing"
    for batch in (1, 5):
        parity = compare(expected, onnx_scores(model, photos, batch).probabilities)
        assert parity.passed, parity
    edge = load_edge(edge_graph(model, metadata.preprocess), "edge.onnx")
    assert edge.run(photos[0]).probabilities == pytest.approx(expected[0], abs=1e-4)


@pytest.mark.parametrize("network", MATRIX[:3], indirect=True, ids=str)
def test_it_can_be_quantized(converted: Any, tmp_path: Any) -> None:
    from exporter.graph import check_plain
    from exporter.int8.quantize import Quantizer, Ranges
    from exporter.prove import onnx_logits

    quantizer = Quantizer(converted, pixels(16), 7, tmp_path)
    quantized = quantizer.quantize(Ranges.MINMAX, quantizer.body)
    check_plain(quantized)
    assert quantized.ByteSize() < 0.5 * converted.ByteSize()
    assert np.isfinite(onnx_logits(quantized.SerializeToString(), pixels(2)).probabilities).all()
