import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.int8.quantize import QuantizeError, Quantizer, Ranges, body_nodes, layers_of


@pytest.fixture(scope="module", params=[7, 8])
def bits(request):
    return request.param


@pytest.fixture(scope="module")
def quantizer(to_logits, training, bits, tmp_path_factory):
    return Quantizer(to_logits, training, bits, tmp_path_factory.mktemp("scratch"))


def operators(model):
    return [node.op_type for node in model.graph.node]


def weights(model):
    return [
        numpy_helper.to_array(array)
        for array in model.graph.initializer
        if array.data_type == onnx.TensorProto.INT8 and len(array.dims) == 4
    ]


@pytest.mark.parametrize("ranges", list(Ranges))
def test_a_quantized_network_says_nearly_the_same(quantizer, to_logits, trained, says, ranges):
    model = quantizer.quantize(ranges, quantizer.body)
    expected, got = says(to_logits, trained.pixels), says(model, trained.pixels)
    scale = np.ptp(expected.probabilities)
    assert 0 < np.abs(got.probabilities - expected.probabilities).mean() < 0.05 * scale
    assert got.unknown.shape == expected.unknown.shape


def test_every_convolution_has_a_scale_for_each_channel(quantizer, bits):
    model = quantizer.quantize(Ranges.MINMAX, quantizer.body)
    arrays = weights(model)
    assert len(arrays) == 9
    largest = max(int(np.abs(array.astype(int)).max()) for array in arrays)
    assert largest == {7: 64, 8: 127}[bits] or largest == {7: 63, 8: 128}[bits]
    constants = {array.name: array for array in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(constants.get(node.input[0], onnx.TensorProto()).dims) == 4:
            assert list(constants[node.input[1]].dims) == list(constants[node.input[0]].dims[:1])


def test_only_the_nodes_that_are_named_are_quantized(quantizer):
    first = quantizer.body[0]
    model = quantizer.quantize(Ranges.MINMAX, [first])
    assert len(weights(model)) == 1
    assert len(weights(quantizer.quantize(Ranges.MINMAX, []))) == 0


def test_nothing_but_standard_operators_and_the_same_ends(quantizer, to_logits):
    from exporter.graph import check_plain

    model = quantizer.quantize(Ranges.PERCENTILE, quantizer.body)
    check_plain(model)
    assert [value.name for value in model.graph.output] == [value.name for value in to_logits.graph.output]


def test_no_batch_norm_is_left(quantizer):
    assert "BatchNormalization" not in operators(quantizer.folded)


def test_the_tools_say_nothing(quantizer, capfd):
    quantizer.quantize(Ranges.MINMAX, quantizer.body)
    assert capfd.readouterr() == ("", "")


def test_what_the_tools_cannot_do_is_an_error_with_their_words(to_logits, tmp_path):
    quantizer = Quantizer(to_logits, np.zeros((16, 3, 3, 3), np.uint8), 7, tmp_path)
    with pytest.raises(QuantizeError, match=r"ONNX Runtime's tools cannot quantize it \(InvalidArgument: "):
        quantizer.quantize(Ranges.MINMAX, quantizer.body)


@pytest.fixture(scope="module")
def folded(to_logits, training, tmp_path_factory):
    """As quantization sees it."""
    return Quantizer(to_logits, training, 7, tmp_path_factory.mktemp("scratch")).folded


def test_a_body_begins_with_the_first_convolution_and_ends_with_the_features(folded):
    kinds = {node.name: node.op_type for node in folded.graph.node}
    body = body_nodes(folded)
    assert kinds[body[0]] == "Conv"
    assert [kinds[name] for name in body].count("Conv") == list(kinds.values()).count("Conv") == 9
    assert not {"Softmax", "ArgMin", "MatMul", "Gemm", "Cast"} & {kinds[name] for name in body}


def test_the_layers_are_those_with_weights(folded):
    kinds = {node.name: node.op_type for node in folded.graph.node}
    layers = layers_of(folded, body_nodes(folded))
    assert len(layers) == 9
    assert {kinds[name] for name in layers} == {"Conv"}


def graph(*nodes):
    value = helper.make_tensor_value_info
    ends = [value("image", TensorProto.FLOAT, [1])], [value("logits", TensorProto.FLOAT, [1])]
    made = [helper.make_node(op, inputs, outputs, name=outputs[0]) for op, inputs, outputs in nodes]
    return helper.make_model(helper.make_graph(made, "made up", *ends))


def test_what_is_beside_the_way_to_the_features_is_no_body():
    model = graph(
        ("Mul", ["image", "scale"], ["scaled"]),
        ("Conv", ["scaled", "w"], ["seen"]),
        ("Relu", ["seen"], ["features"]),
        ("MatMul", ["features", "head"], ["place"]),
        ("MatMul", ["features", "classes"], ["raw"]),
        ("Add", ["raw", "bias"], ["logits"]),
    )
    assert body_nodes(model) == ["seen", "features"]


def test_hidden_dense_layers_are_body_and_the_logits_are_not():
    model = graph(
        ("MatMul", ["image", "w"], ["hidden"]),
        ("Gemm", ["hidden", "classes", "bias"], ["raw"]),
        ("Concat", ["zero", "raw"], ["logits"]),
    )
    assert body_nodes(model) == ["hidden"]


def test_a_network_without_layers_before_its_logits_has_no_body():
    model: onnx.ModelProto = graph(("MatMul", ["image", "classes"], ["logits"]))
    assert body_nodes(model) == []
