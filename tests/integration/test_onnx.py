"""Networks in ONNX against Keras and NumPy: a small matrix of architectures, and the output ``unknown``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from models.manifest import ModelMetadata
from models.preprocess import PreprocessSpec
from models.statistics.out_of_distribution import DistanceHead
from tests.keras_to_onnx import convert

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


FEATURES = 12


@pytest.fixture(scope="module")
def make_network() -> Callable[..., Any]:
    from exporter.options import load_tensorflow

    load_tensorflow()
    import keras

    def make(classes: int) -> Any:
        keras.utils.set_random_seed(5)
        layers = keras.layers
        image = keras.Input((None, None, 3))
        x = layers.Conv2D(FEATURES, 3, strides=4)(layers.Rescaling(1 / 32)(image))
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(FEATURES, name="features")(x)
        units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
        x = layers.Dense(units, name="logits")(layers.Dropout(0.2)(x))
        return keras.Model(image, layers.Activation(activation, name="probabilities")(x), name="tiny")

    return make


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Photos with different means, not only different pixels."""
    chance = np.random.default_rng(5)
    noise = chance.integers(0, 64, (7, 32, 32, 3))
    return (noise + chance.integers(0, 192, (7, 1, 1, 3))).astype(np.uint8)


def head_of(classes: int, *, background: bool, spread: float = 1.0) -> DistanceHead:
    chance = np.random.default_rng(11)
    mean = chance.normal(size=FEATURES, scale=0.2).astype(np.float32)
    within = chance.normal(size=(FEATURES, 6)).astype(np.float32)
    centres = (spread * chance.normal(size=(classes, 6))).astype(np.float32)
    overall = chance.normal(size=(FEATURES, 5 if background else 0)).astype(np.float32)
    return DistanceHead(mean, within, centres, overall)


def session_of(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def both_sides(network: Any, pixels: np.ndarray, unknown: Any, temperature: float = 1.0) -> tuple[Any, Any]:
    from exporter.parity import keras_outputs

    session = session_of(convert(network, 32, temperature, unknown))
    got = session.run(["probabilities", "unknown"], {"image": pixels})
    return keras_outputs(network, pixels).scores(temperature, unknown), got


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("kind", ["distance", "less background"])
def test_onnx_runtime_says_what_numpy_says(make_network, pixels, classes: int, kind: str) -> None:
    unknown = head_of(classes, background=kind == "less background")
    expected, (probabilities, scores) = both_sides(make_network(classes), pixels, unknown, temperature=1.7)
    assert scores.shape == (7,)
    assert scores.dtype == np.float32
    assert np.ptp(expected.unknown) > 0.01, "scores that are all the same prove nothing"
    assert scores == pytest.approx(expected.unknown, rel=1e-4, abs=1e-4)
    assert probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_the_output_has_the_name_and_shape_of_the_contract(make_network, pixels) -> None:

    session = session_of(convert(make_network(3), 32, 1.0, head_of(3, background=True)))
    assert [(end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())] == [
        ("image", "tensor(uint8)", ["batch", 32, 32, 3]),
        ("probabilities", "tensor(float)", ["batch", 3]),
        ("unknown", "tensor(float)", ["batch"]),
    ]
    alone = [session.run(["unknown"], {"image": pixels[i : i + 1]})[0][0] for i in range(len(pixels))]
    assert alone == pytest.approx(session.run(["unknown"], {"image": pixels})[0], rel=1e-5)
    assert session.run(["unknown"], {"image": pixels[:0]})[0].shape == (0,)
