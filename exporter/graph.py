"""A Keras network as an ONNX graph: pixels in, probabilities and the out-of-distribution score out."""

from collections.abc import Iterator
from typing import Final

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from onnx import TensorProto, helper, numpy_helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from exporter.options import silent_stderr
from models.errors import ParityError
from models.manifest import METADATA_KEY, ModelMetadata
from models.statistics.out_of_distribution import SHORTEST, DistanceHead

OPSET: Final = 18
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_WORTH_HALVING: Final = 4096
"""Smaller arrays stay float32."""
_LARGEST_HALF: Final = 65_504.0


def to_logits(network: keras.Model, size: int, unknown: DistanceHead | None = None) -> onnx.ModelProto:
    """Convert a network up to its class logits.

    The graph is frozen and inlined first, because tf2onnx cannot read Keras 3 models or the variables of some layers.
    The network takes ``(batch, S, S, 3)`` in 0..255 and ends in layers named ``logits`` and ``probabilities``.

    Returns:
        Input ``image``, ``uint8 [batch, S, S, 3]``; output ``logits``, ``float32 [batch, classes]``
        (``[0, z]`` for the single logit ``z`` of a sigmoid). With ``unknown``, a second output ``unknown``, ``float32
        [batch]``.

    Raises ParityError.
    """
    ends = network_ends(network)

    signature = [tf.TensorSpec([None, size, size, 3], tf.uint8, name="image")]

    @tf.function(input_signature=signature, autograph=False)  # type: ignore[untyped-decorator]
    def outputs(image: tf.Tensor) -> list[tf.Tensor]:
        features, logits = ends(tf.cast(image, tf.float32), training=False)
        columns = tf.identity(logits) if logits.shape[1] > 1 else tf.concat([tf.zeros_like(logits), logits], axis=1)
        return [columns, *([_distance(features, unknown)] if unknown else [])]

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
    check_plain(model)
    return model


def network_ends(network: keras.Model) -> keras.Model:
    """A model with the network's weights that returns features ``(batch, D)`` and logits ``(batch, units)``.

    The network ends in layers named ``features``, [dropout], ``logits`` and ``probabilities``. If there is no layer
    ``features``, the features are the input of ``logits``: at inference, dropout does nothing.
    """
    logits = network.get_layer("logits")
    named = any(layer.name == "features" for layer in network.layers)
    features = network.get_layer("features").output if named else logits.input
    return keras.Model(network.inputs[0], [features, logits.output])


def _distance(features: tf.Tensor, head: DistanceHead) -> tf.Tensor:
    """:meth:`models.statistics.out_of_distribution.DistanceHead.score` of features ``float32 (batch, D)``.

    The nearest centre minimizes ``|c|² - 2 p·c``, which needs no ``(batch, C, K)`` tensor. This formula loses digits if
    coordinates are much larger than distances, so coordinates are relative to the mean of the centres. The distance to
    the nearest centre is then computed by subtraction, which loses no digits.
    """
    length = tf.sqrt(tf.reduce_sum(features * features, axis=1, keepdims=True))
    offsets = features / tf.maximum(length, SHORTEST) - head.mean
    middle = head.centres.mean(axis=0, dtype=np.float64)
    centres = (head.centres - middle).astype(np.float32)
    place = offsets @ head.within - middle.astype(np.float32)
    lengths = np.square(centres, dtype=np.float64).sum(axis=1).astype(np.float32)
    nearest = tf.argmin(lengths - 2.0 * (place @ centres.T), axis=1)
    score = _square(place - tf.gather(centres, nearest))
    return score - _square(offsets @ head.overall) if head.overall.shape[1] else score


def _square(difference: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(difference * difference, axis=1)


def _rename(model: onnx.ModelProto) -> None:
    graph = model.graph
    ends = [graph.input[0], *graph.output]
    names = dict(zip((value.name for value in ends), ("image", "logits", "unknown"), strict=False))
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in ends:
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def check_plain(model: onnx.ModelProto) -> None:
    """Raise ParityError if a graph is invalid ONNX, or has an operator that ONNX Runtime lacks."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        msg = f"The converted graph is not valid ONNX: {error} Nothing was published."
        raise ParityError(msg) from error
    nodes = list(_nodes(model.graph))
    lacking = [
        *sorted({f"{node.domain}:{node.op_type}" for node in nodes if node.domain not in _DOMAINS}),
        *(f"function {function.name}" for function in model.functions),
        *(f"{node.name} (training only)" for node in nodes if _only_trains(node)),
        *(f"input {value.name}" for value in model.graph.input if value.name != "image"),
    ]
    if lacking:
        msg = f"The converted graph has operators that ONNX Runtime lacks: {', '.join(lacking)}; nothing was published."
        raise ParityError(msg)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _only_trains(node: onnx.NodeProto) -> bool:
    learns = node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute)
    return learns or node.op_type == "Dropout"


def with_probabilities(model: onnx.ModelProto, temperature: float) -> onnx.ModelProto:
    """Copy a graph of :func:`to_logits`, and replace the output ``logits`` by calibrated ``probabilities``."""
    calibrated = onnx.ModelProto()
    calibrated.CopyFrom(model)
    graph = calibrated.graph
    graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), "temperature"))
    graph.node.append(helper.make_node("Div", ["logits", "temperature"], ["cooled"], name="cooled"))
    graph.node.append(helper.make_node("Softmax", ["cooled"], ["probabilities"], name="probabilities", axis=-1))
    next(value for value in graph.output if value.name == "logits").name = "probabilities"
    return calibrated


def with_half_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model, with large arrays stored as float16.

    ONNX Runtime converts the arrays to float32 when it loads the model. So the model computes in float32, at the same
    speed. Arrays whose values are too large for float16 stay float32.
    """
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    for array in [array for array in graph.initializer if _can_be_half(array)]:
        numbers = numpy_helper.to_array(array).astype(np.float16)
        name = array.name
        array.CopyFrom(numpy_helper.from_array(numbers, f"{name}/half"))
        graph.node.insert(0, helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/widen", to=TensorProto.FLOAT))
    return smaller


def _can_be_half(array: onnx.TensorProto) -> bool:
    if array.data_type != TensorProto.FLOAT or np.prod(array.dims) < _WORTH_HALVING:
        return False
    return bool(np.abs(numpy_helper.to_array(array)).max() <= _LARGEST_HALF)


def add_metadata(model: onnx.ModelProto, metadata: ModelMetadata) -> bytes:
    """Add metadata, and return the bytes of the ONNX file."""
    helper.set_model_props(model, {METADATA_KEY: metadata.model_dump_json()})
    model.producer_name = "hangtag"
    return bytes(model.SerializeToString())
