import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from exporter.int8.quantize import QuantizeError, Quantizer, Ranges


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
