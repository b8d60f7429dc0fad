import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.graph import with_half_weights


def model_of(*arrays):
    """A model that adds up constants of 5,000 numbers."""
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
    assert result(model).tolist() == SMALL.tolist(), "the model itself is left as it was"


@pytest.mark.parametrize("array", [SMALL * 1e6, SMALL * np.inf], ids=["too large", "infinite"])
def test_numbers_that_float16_cannot_hold_stay_as_they_are(array):
    array = np.nan_to_num(array, nan=np.inf)
    model = model_of(array)
    assert with_half_weights(model) == model


def test_small_arrays_stay_as_they_are():
    model = model_of(np.ones(1, np.float32))
    assert with_half_weights(model) == model
