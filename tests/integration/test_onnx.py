"""Networks in ONNX against Keras and NumPy: a small matrix of architectures, and the output ``unknown``."""

from typing import Any

import numpy as np
import pytest

from models.manifest import ModelMetadata
from models.preprocess import PreprocessSpec

SIZE = 64
LONG = [
    pytest.param(("efficientnet_v2_b0", 3), marks=pytest.mark.proof),
]
MATRIX = [("mobilenet", 2), ("mobilenet_v3_small", 5), ("efficientnet_lite0", 4), *LONG]


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> Any:
    """Random weights with clear predictions: norms that have seen photos, and logits as large as learned ones.

    Networks without norms have ImageNet's weights.
    """
    from exporter.options import load_tensorflow

    load_tensorflow()
    import keras

    from trainer.networks.build import build_network
    from trainer.request import Arch, NamedWeights

    keras.utils.set_random_seed(7)
    arch, classes = request.param
    alpha = 0.25 if arch == "mobilenet" else None
    weights = NamedWeights.IMAGENET if Arch(arch).is_lite else NamedWeights.NONE
    made = build_network(Arch(arch), SIZE, classes, weights=weights, alpha=alpha)
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # else values fade to a constant with depth, which cannot be quantized
    made(noise(8).astype(np.float32), training=True)
    logits = made.get_layer("logits")
    weights, biases = logits.get_weights()
    said = keras.Model(made.inputs[0], logits.output)(noise(8).astype(np.float32), training=False)
    logits.set_weights([weights * 2 / (np.std(said) + 1e-6), biases])
    return made


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def converted(network: Any) -> Any:
    from exporter.graph import to_logits

    return to_logits(network, SIZE)


@pytest.mark.parametrize("network", MATRIX, indirect=True, ids=str)
def test_onnx_runtime_and_the_edge_graph_agree_with_keras(network: Any, converted: Any) -> None:
    from exporter.edge.build import edge_graph
    from exporter.graph import add_metadata, with_probabilities
    from exporter.parity import compare, keras_outputs, onnx_scores
    from models.classifier import load_edge

    photos, classes = noise(5), max(2, network.output_shape[-1])
    metadata = ModelMetadata(
        schema_version=1,
        name="shop",
        version="20261121T000000Z",
        variant="float32",
        labels=tuple(map(str, range(classes))),
        preprocess=PreprocessSpec(size=SIZE),
        taxonomy=None,
        temperature=1.0,
        precision=None,
        targets=(),
        unknown=None,
    )
    model = add_metadata(with_probabilities(converted, 1.0), metadata)
    expected = keras_outputs(network, photos).scores(1.0, None)
    assert np.ptp(expected.probabilities) > 0.05, "a network that has no opinion proves nothing"
    for batch in (1, 5):
        parity = compare(expected, onnx_scores(model, photos, batch))
        assert parity.passed, parity
    edge = load_edge(edge_graph(model, metadata), "edge.onnx")
    assert edge.run(photos[0]).probabilities == pytest.approx(expected.probabilities[0], abs=1e-4)


@pytest.mark.parametrize("network", MATRIX[:3], indirect=True, ids=str)
def test_it_can_be_quantized(converted: Any, tmp_path: Any) -> None:
    from exporter.graph import check_plain
    from exporter.int8 import Quantizer
    from exporter.parity import onnx_scores

    quantizer = Quantizer(converted, noise(16), tmp_path)
    quantized = quantizer.quantize()
    check_plain(quantized)
    assert quantized.ByteSize() < 0.5 * converted.ByteSize()
    assert np.isfinite(onnx_scores(quantized.SerializeToString(), noise(2)).probabilities).all()
