import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import HistogramCollector

from exporter.int8 import Histograms, QuantizeError, Quantizer, as_pixels, body_nodes


@pytest.fixture(scope="module")
def quantizer(to_logits, training, tmp_path_factory):
    return Quantizer(to_logits, training, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def depthwise(make_network, training, tmp_path_factory):
    from exporter.graph import to_logits

    model = to_logits(make_network("mobilenet", 3, alpha=0.25), 32)
    return Quantizer(model, training, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def quantized(quantizer):
    return quantizer.quantize()


@pytest.fixture(scope="module")
def quantized_depthwise(depthwise):
    return depthwise.quantize()


def operators(model):
    return [node.op_type for node in model.graph.node]


def weights(model):
    return {
        array.name: numpy_helper.to_array(array).astype(int)
        for array in model.graph.initializer
        if array.data_type == onnx.TensorProto.INT8 and len(array.dims) == 4
    }


def test_a_quantized_network_says_nearly_the_same(quantized, to_logits, trained, says):
    expected, got = says(to_logits, trained.pixels), says(quantized, trained.pixels)
    scale = np.ptp(expected.probabilities)
    assert 0 < np.abs(got.probabilities - expected.probabilities).mean() < 0.05 * scale
    assert got.unknown.shape == expected.unknown.shape


def test_every_convolution_has_a_scale_for_each_channel(quantized):
    arrays = weights(quantized)
    assert len(arrays) == 9
    largest = max(np.abs(array).max() for array in arrays.values())
    assert largest in {63, 64}
    constants = {array.name: array for array in quantized.graph.initializer}
    for node in quantized.graph.node:
        if node.op_type == "DequantizeLinear" and len(constants.get(node.input[0], onnx.TensorProto()).dims) == 4:
            assert list(constants[node.input[1]].dims) == list(constants[node.input[0]].dims[:1])


def test_only_depthwise_convolutions_have_eight_bits(quantized_depthwise):
    largest = {(True, 127): 0, (False, 64): 0}
    for array in weights(quantized_depthwise).values():
        largest[array.shape[1] == 1, int(np.abs(array).max())] += 1
    assert largest == {(True, 127): 13, (False, 64): 14}


def optimized(model, tmp_path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath).graph.node


@pytest.mark.parametrize(("fixture", "reads"), [("quantizer", True), ("depthwise", False)])
def test_an_integer_first_layer_reads_pixels_if_scaling_keeps_them_whole(fixture, reads, request, tmp_path):
    nodes = optimized(request.getfixturevalue(fixture).quantize(), tmp_path)
    assert reads == ("QuantizeLinear" not in {node.op_type for node in nodes})
    assert [node.op_type for node in nodes if node.input[0] == "image"] == ["Transpose" if reads else "Cast"]


@pytest.mark.parametrize("count", [0, 2])
def test_the_first_layers_stay_in_floating_point_and_the_others_compute_with_integers(depthwise, count, tmp_path):
    found = {node.name: node.op_type for node in optimized(depthwise.quantize(count), tmp_path)}
    assert [found[name] for name in depthwise.layers[count:]] == ["QLinearConv"] * (27 - count)
    assert {found[name] for name in depthwise.layers[:count]} <= {"Conv", "FusedConv"}


def test_a_convolution_that_onnx_runtime_quantizes_by_itself_is_an_error(depthwise):
    """ONNX Runtime does so with a float layer between integer layers."""
    body, layers = depthwise.body, depthwise.layers
    victim = layers[1]
    try:
        depthwise.layers = [victim, *(name for name in layers if name != victim)]
        depthwise.body = [victim, *(name for name in body if name != victim)]
        with pytest.raises(QuantizeError, match=victim):
            depthwise.quantize(1)
    finally:
        depthwise.body, depthwise.layers = body, layers


def test_nothing_but_standard_operators_and_the_same_ends(quantizer, quantized, to_logits):
    from exporter.graph import check_plain

    check_plain(quantized)
    assert [value.name for value in quantized.graph.output] == [value.name for value in to_logits.graph.output]
    assert "BatchNormalization" not in operators(quantizer.folded)


@pytest.mark.parametrize("shape", ["any", "cut at zero", "larger by and by", "nothing at first"])
def test_ranges_are_those_of_onnx_runtime_s_own_histograms(shape):
    rng = np.random.default_rng(1)
    batches = [rng.normal(size=(8, 9, 9, 4)).astype(np.float32) for _ in range(4)]
    change = {
        "any": lambda number, values: values,
        "cut at zero": lambda number, values: np.clip(values, 0.0, 1.0),
        "larger by and by": lambda number, values: values * 2**number,
        "nothing at first": lambda number, values: values * min(number, 1),
    }[shape]
    found = []
    for kind in (HistogramCollector, Histograms):
        collector = kind("percentile", True, 2048, 2048, 99.99, None)
        for number, values in enumerate(batches):
            collector.collect({"x": [change(number, values)]})
        found.append(np.array(collector.compute_collection_result()["x"][:2]))
    assert found[1] == pytest.approx(found[0], abs=float(np.ptp(found[0])) / 500)


def test_errors_of_the_tools_are_shown_in_their_words(to_logits, tmp_path):
    quantizer = Quantizer(to_logits, np.zeros((16, 3, 3, 3), np.uint8), tmp_path)
    with pytest.raises(QuantizeError, match="InvalidArgument"):
        quantizer.quantize()


def convolved(photos, filters, group):
    padded = np.pad(photos.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    outputs, inputs, *_ = filters.shape
    side = photos.shape[2]
    found = np.zeros((len(photos), outputs, side, side), np.int64)
    for output in range(outputs):
        first = output * group // outputs * inputs
        for row, column in np.ndindex(3, 3):
            seen = padded[:, first : first + inputs, row : row + side, column : column + side]
            found[:, output] += (seen * filters[output, :, row, column].astype(np.int64)[:, None, None]).sum(axis=1)
    return found


@pytest.mark.parametrize("channels", [8, 12, 16, 40, 64])
@pytest.mark.parametrize(("group", "largest"), [("depthwise", 127), ("one", 64)])
def test_the_largest_weights_are_added_up_exactly_on_this_processor(channels, group, largest):
    """Processors without VNNI cut the sum of two 8-bit products off at 16 bits; these weights stay below."""
    groups = channels if group == "depthwise" else 1
    chance = np.random.default_rng(channels)
    photos = chance.choice([0, 254, 255, 255], (2, channels, 9, 9)).astype(np.uint8)
    filters = chance.choice([-largest, largest, largest], (channels, channels // groups, 3, 3)).astype(np.int8)
    exact = convolved(photos, filters, groups)
    scale = np.float32(np.abs(exact).max() / 250)
    constants = {"one": np.float32(1), "none": np.uint8(0), "w": filters, "ones": np.ones(channels, np.float32)}
    constants |= {"nothing": np.zeros(channels, np.int8), "scale": scale}
    inputs = ["image", "one", "none", "w", "ones", "nothing", "scale", "none"]
    node = helper.make_node("QLinearConv", inputs, ["y"], group=groups, pads=[1] * 4)
    value = helper.make_tensor_value_info
    ends = [value("image", TensorProto.UINT8, photos.shape)], [value("y", TensorProto.UINT8, None)]
    graph = helper.make_graph([node], "one", *ends, [numpy_helper.from_array(a, n) for n, a in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()
    (got,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"image": photos})
    assert np.abs(got.astype(int) - np.clip(np.rint(exact / scale), 0, 255)).max() <= 1


def graph(*nodes):
    value = helper.make_tensor_value_info
    ends = [value("image", TensorProto.FLOAT, [1])], [value("logits", TensorProto.FLOAT, [1])]
    made = [helper.make_node(op, inputs, outputs, name=outputs[0]) for op, inputs, outputs in nodes]
    return helper.make_model(helper.make_graph(made, "made up", *ends))


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 128, -127 / 128, (1 / 128, 127)),
        (1 / 255, None, (1 / 255, 0)),
        (1 / 127.5, -1.0, None),
        (1 / 255, -1.01, None),
        (1 / 255, 0.5, None),
        ([1 / 255, 1 / 254, 1 / 253], None, None),
    ],
)
def test_pixels_are_the_integers_of_a_scaling_with_a_whole_zero_point(scale, offset, expected):
    shifts = [("Add", ["scaled", "offset"], ["shifted"])] if offset else []
    last = "shifted" if offset else "scaled"
    model = graph(
        ("Cast", ["image"], ["float"]),
        ("Mul", ["float", "scale"], ["scaled"]),
        *shifts,
        ("Transpose", [last], ["turned"]),
        ("Conv", ["turned", "w"], ["logits"]),
    )
    numbers = {"scale": scale, "offset": offset or 0.0}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()
    )
    found = as_pixels(model, "turned")
    assert (found and (float(found["scale"]), int(found["zero_point"]))) == (expected and pytest.approx(expected))


def test_nodes_beside_the_path_to_the_features_are_not_body():
    model = graph(
        ("Mul", ["image", "scale"], ["scaled"]),
        ("Conv", ["scaled", "w"], ["seen"]),
        ("Relu", ["seen"], ["features"]),
        ("MatMul", ["features", "head"], ["place"]),
        ("MatMul", ["features", "classes"], ["raw"]),
        ("Add", ["raw", "bias"], ["logits"]),
    )
    assert body_nodes(model) == ["seen", "features"]
