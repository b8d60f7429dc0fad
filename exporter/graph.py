"""A Keras network as an ONNX graph: pixels in, probabilities out, and how strange the photo is."""

from typing import Final

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnx import helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from exporter.confidence.unknown import DistanceHead
from exporter.ends import network_ends
from exporter.load_tensorflow import silent_stderr
from exporter.unknown_graph import distance, energy
from exporter.unknown_kind import UnknownKind
from models.errors import ParityError
from models.manifest import METADATA_KEY, ModelMetadata

__all__ = ["OPSET", "add_metadata", "convert"]

OPSET: Final = 18
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})


def convert(
    network: keras.Model,
    size: int,
    temperature: float = 1.0,
    unknown: UnknownKind | None = None,
) -> onnx.ModelProto:
    """Convert a network.

    The graph is frozen first: tf2onnx cannot read Keras 3 models, nor the variables of some of their layers.

    Args:
        network: takes ``(batch, S, S, 3)`` in 0..255, for this S or for any, and ends in layers named ``logits`` and
            ``probabilities``.
        size: side S in pixels.
        temperature: what the logits are divided by before they become probabilities.
        unknown: what the output ``unknown`` is; without it there is none.

    Returns:
        Input ``image``, ``uint8 [batch, S, S, 3]``; output ``probabilities``, ``float32 [batch, classes]``, with two
        columns for a sigmoid; output ``unknown``, ``float32 [batch]``, the higher, the stranger.

    Raises:
        ParityError: the converted graph holds something that plain ONNX Runtime does not have.
    """
    ends = network_ends(network)

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, name="image")])  # type: ignore[untyped-decorator]
    def outputs(image: tf.Tensor) -> list[tf.Tensor]:
        features, logits = ends(tf.cast(image, tf.float32), training=False)
        return [_probabilities(logits / temperature), *_unknown(features, logits, unknown)]

    with silent_stderr():
        frozen = convert_variables_to_constants_v2(outputs.get_concrete_function())
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


def _probabilities(logits: tf.Tensor) -> tf.Tensor:
    if logits.shape[1] > 1:
        return tf.nn.softmax(logits)
    second = tf.sigmoid(logits)
    return tf.concat([1.0 - second, second], axis=1)


def _unknown(features: tf.Tensor, logits: tf.Tensor, unknown: UnknownKind | None) -> list[tf.Tensor]:
    match unknown:
        case None:
            return []
        case DistanceHead():
            return [distance(features, unknown)]
        case "energy":
            return [energy(logits)]


def _rename(model: onnx.ModelProto) -> None:
    """Give input, outputs and batch axis the names that the contract has."""
    graph = model.graph
    ends = [graph.input[0], *graph.output]
    names = dict(zip((value.name for value in ends), ("image", "probabilities", "unknown"), strict=False))
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in ends:
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
