import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.graph import with_half_weights, with_probabilities
from models.errors import ParityError
from models.manifest import METADATA_KEY, ModelMetadata, parse_file
from tests.keras_to_onnx import convert
from tests.unit.exporter.edge.materials import metadata_of


@pytest.fixture(scope="module", params=[("simple", 2), ("cnn", 5)], ids=str)
def network(request, make_network):
    return make_network(*request.param)


@pytest.fixture(scope="module")
def logits_model(network):
    from exporter.graph import to_logits

    return to_logits(network, 32)


@pytest.fixture(scope="module")
def model(logits_model):
    return with_probabilities(logits_model, 1.0)


def session(model):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def onnx_scores(model, pixels):
    return session(model).run(["probabilities"], {"image": pixels})[0]


def keras_outputs(network, pixels):
    said = np.asarray(network(pixels.astype(np.float32), training=False))
    return np.concatenate([1 - said, said], axis=1) if said.shape[1] == 1 else said


def test_onnx_runtime_says_what_keras_says(network, model, pixels):
    expected, got = keras_outputs(network, pixels), onnx_scores(model, pixels)
    assert (got.shape, got.dtype) == (expected.shape, np.float32)
    assert np.abs(got - expected).max() <= 1e-4
    assert np.ptp(got) > 0.1, "a network that has no opinion proves nothing"


def test_the_opset_is_18_and_nothing_else_is_needed(model):
    assert [(opset.domain, opset.version) for opset in model.opset_import if opset.domain in {"", "ai.onnx"}] == [
        ("", 18)
    ]
    assert not model.functions
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx", "ai.onnx.ml"}
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_logits_are_divided_by_the_temperature(network, logits_model, pixels, temperature):
    import keras

    before = keras.Model(network.inputs, network.get_layer("logits").output)
    logits = np.asarray(before([pixels.astype(np.float32)]))
    columns = np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits
    scaled = np.exp(columns / temperature - (columns / temperature).max(axis=1, keepdims=True))
    expected = scaled / scaled.sum(axis=1, keepdims=True)
    assert np.abs(onnx_scores(with_probabilities(logits_model, temperature), pixels) - expected).max() <= 1e-4


def test_a_layer_that_onnx_does_not_have_is_refused(make_network):
    import keras
    import tensorflow as tf

    class Strange(keras.layers.Layer):
        def call(self, x):
            return tf.raw_ops.Betainc(a=x, b=x, x=x)

    image = keras.Input((32, 32, 3))
    hidden = Strange(name="features")(keras.layers.Flatten()(image))
    with pytest.raises(ParityError, match="Betainc"):
        convert(keras.Model(image, keras.layers.Dense(3, name="logits")(hidden)), 32)


def test_the_file_carries_its_metadata(model):
    from exporter.graph import add_metadata

    metadata = metadata_of(2).model_copy(update={"name": "bottes d'été", "labels": ("靴", "bag")})
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    file = add_metadata(copy, metadata)
    found = ort.InferenceSession(file).get_modelmeta()
    assert found.producer_name == "hangtag"
    assert parse_file(ModelMetadata, found.custom_metadata_map[METADATA_KEY], "model.onnx") == metadata


def with_dropout_in_a_branch(graph):
    inner = onnx.helper.make_node("Dropout", ["logits"], ["inner"], name="drop")
    branch = onnx.helper.make_graph([inner], "branch", [], [onnx.helper.make_empty_tensor_value_info("inner")])
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "always"))
    graph.node.append(onnx.helper.make_node("If", ["always"], ["beside"], then_branch=branch, else_branch=branch))


def with_an_input_more(graph):
    graph.input.append(onnx.helper.make_tensor_value_info("phase", onnx.TensorProto.BOOL, [1]))


def with_a_learning_norm(graph):
    names = ["scale", "bias", "mean", "variance"]
    ones = np.ones(graph.output[0].type.tensor_type.shape.dim[1].dim_value, np.float32)
    graph.initializer.extend(onnx.numpy_helper.from_array(ones, name) for name in names)
    outputs = ["normed", "new_mean", "new_variance"]
    graph.node.append(
        onnx.helper.make_node("BatchNormalization", ["logits", *names], outputs, name="norm", training_mode=1)
    )


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (with_dropout_in_a_branch, r"drop \(training only\)"),
        (with_an_input_more, "input phase"),
        (with_a_learning_norm, r"norm \(training only\)"),
    ],
)
def test_training_only_layers_and_extra_inputs_are_refused_by_name(to_logits, spoil, named):
    from exporter.graph import check_plain

    model = onnx.ModelProto.FromString(to_logits.SerializeToString())
    check_plain(model)
    spoil(model.graph)
    with pytest.raises(ParityError, match=named):
        check_plain(model)


def model_of(*arrays):
    value = helper.make_tensor_value_info
    names = [f"array_{number}" for number in range(len(arrays))]
    node = helper.make_node("Sum", ["image", *names], ["logits"])
    ends = [value("image", TensorProto.FLOAT, [5000])], [value("logits", TensorProto.FLOAT, [5000])]
    constants = [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)]
    graph = helper.make_graph([node], "sum", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def result(model):
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.zeros(5000, np.float32)})[0]


SMALL = np.linspace(-3, 3, 5000, dtype=np.float32)


def test_large_arrays_take_half_the_room_and_are_nearly_the_same():
    model = model_of(SMALL)
    smaller = with_half_weights(model)
    onnx.checker.check_model(smaller, full_check=True)
    assert smaller.ByteSize() < 0.55 * model.ByteSize()
    assert np.abs(result(smaller) - SMALL).max() <= 3 * 2**-11
    assert result(model).tolist() == SMALL.tolist(), "the model itself has not changed"


@pytest.mark.parametrize("array", [SMALL * 1e6, SMALL * np.inf], ids=["too large", "infinite"])
def test_numbers_that_float16_cannot_hold_stay_as_they_are(array):
    array = np.nan_to_num(array, nan=np.inf)
    model = model_of(array)
    assert with_half_weights(model) == model


@pytest.fixture
def keras(make_network):  # loads TensorFlow
    import keras

    return keras
