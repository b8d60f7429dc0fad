"""A Keras network as an ONNX graph: pixels in, probabilities out."""

from typing import Final

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnx import helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from exporter.load_tensorflow import silent_stderr
from models.errors import ParityError
from models.manifest import METADATA_KEY, ModelMetadata

__all__ = ["OPSET", "add_metadata", "convert"]

OPSET: Final = 18
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def convert(network: keras.Model, size: int, temperature: float = 1.0) -> onnx.ModelProto:
    """Convert a network.

    The graph is frozen first: tf2onnx cannot read Keras 3 models, nor the variables of some of their layers.

    Args:
        network: takes ``(batch, S, S, 3)`` in 0..255, and ends in layers named ``logits`` and ``probabilities``.
        size: side S in pixels.
        temperature: what the logits are divided by.

    Returns:
        Input ``image``, ``uint8 [batch, S, S, 3]``; output ``probabilities``, ``float32 [batch, classes]``, with two
        columns for a sigmoid.

    Raises:
        ParityError: the converted graph holds something that plain ONNX Runtime does not have.
    """
    logits = keras.Model(network.inputs, network.get_layer("logits").output)

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, name="image")])  # type: ignore[untyped-decorator]
    def probabilities(image: tf.Tensor) -> tf.Tensor:
        scaled = logits(tf.cast(image, tf.float32), training=False) / temperature
        if scaled.shape[1] > 1:
            return tf.nn.softmax(scaled)
        second = tf.sigmoid(scaled)
        return tf.concat([1.0 - second, second], axis=1)

    with silent_stderr():
        frozen = convert_variables_to_constants_v2(probabilities.get_concrete_function())
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            name=network.name,
            input_names=[tensor.name for tensor in frozen.inputs],
            output_names=[tensor.name for tensor in frozen.outputs],
            opset=OPSET,
        )
    _rename(model)
    _check_plain(model)
    return model


def _rename(model: onnx.ModelProto) -> None:
    """Give input, output and batch axis the names that the contract has."""
    graph = model.graph
    names = {graph.input[0].name: "image", graph.output[0].name: "probabilities"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (graph.input[0], graph.output[0]):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _check_plain(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        msg = f"The converted graph is no valid ONNX, and nothing was published: {error}"
        raise ParityError(msg) from error
    strange = sorted({f"{node.domain}:{node.op_type}" for node in model.graph.node if node.domain not in _DOMAINS})
    if strange or model.functions or len(model.graph.input) != 1:
        found = strange or [function.name for function in model.functions] or [i.name for i in model.graph.input]
        msg = f"The converted graph holds what ONNX Runtime does not have: {', '.join(found)}; nothing was published."
        raise ParityError(msg)


def add_metadata(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """The ONNX file with its metadata, so that the lone file is enough on a device."""
    helper.set_model_props(model, {METADATA_KEY: metadata.model_dump_json()})
    model.producer_name = "hangtag"
    return bytes(model.SerializeToString())
