import onnx
import pytest
from onnx import TensorProto, helper

from exporter.int8.quantize import Quantizer, body_nodes, layers_of


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
