"""Quantizes a model to int8 with ranges from training photos, and chooses the fastest accurate result."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import HistogramCollector, create_calibrator, save_tensors_data
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.shape_inference import quant_pre_process

from exporter.cost import Drop, Float32, speed_gain
from exporter.graph import check_plain, with_half_weights
from exporter.options import Advance, ExportOptions
from exporter.parity import onnx_scores
from models.errors import ParityError
from models.preprocess import Pixels
from models.text import number_of

_WEIGHTY: Final = frozenset({"Conv", "MatMul", "Gemm"})
_QUANTIZED: Final = (
    *("Conv", "MatMul", "Gemm", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat"),
    *("Relu", "Clip", "Sigmoid"),
)
"""Operators with faster integer kernels in ONNX Runtime. ``Relu`` and ``Clip`` are listed because they narrow the range
of the operator before them."""
_PERCENTILE: Final = 99.99
_BINS: Final = 2048
_AT_ONCE: Final = 8
_SILENT: Final = 4


def body_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes from the first layer with weights to the features, in the order of the graph.

    Earlier nodes (scaling of pixels) and later nodes (such as logits and probabilities) stay in floating point.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    before_features = _ancestors(_features(model, producers), producers)
    nodes = (node for node in model.graph.node if node.name in before_features)
    return [node.name for node in dropwhile(lambda node: node.op_type not in _WEIGHTY, nodes)]


def _features(model: onnx.ModelProto, producers: Mapping[str, onnx.NodeProto]) -> str:
    name = "logits"
    while producers[name].op_type not in {"MatMul", "Gemm"}:
        name = next(value for value in reversed(producers[name].input) if value in producers)
    return str(producers[name].input[0])


def _ancestors(value: str, producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    names, waiting = set[str](), [value]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in names:
            names.add(node.name)
            waiting.extend(node.input)
    return names


def as_pixels(model: onnx.ModelProto, value: str) -> dict[str, Any] | None:
    """The scale and zero point at which a quantized value equals the pixels of ``image``.

    Returns None if the value is not ``scale * (image - zero point)`` with a whole zero point.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    numbers = {array.name: numpy_helper.to_array(array).item() for array in model.graph.initializer if not array.dims}
    scale, offset = 1.0, 0.0
    while node := producers.get(value):
        value, *operands = node.input
        match node.op_type:
            case "Mul" if operands[0] in numbers:
                scale *= numbers[operands[0]]
            case "Add" if operands[0] in numbers:
                offset += scale * numbers[operands[0]]
            case "Cast" | "Transpose":
                pass
            case _:
                return None
    zero_point = round(-offset / scale)
    if scale * zero_point != -offset or zero_point not in range(256):
        return None
    scales = {"scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, np.uint8)}
    return {"quant_type": QuantType.QUInt8, **scales}


class QuantizeError(ParityError):
    """A model that ONNX Runtime's tools cannot quantize."""


class Quantizer:
    """Quantizes a model that ends in ``logits``. The first layers may stay in floating point. Raises QuantizeError.

    Batch norms are folded into the convolutions before them. The range of an activation covers
    99.99% of its values on the photos. With ranges of all values, EfficientNetV2's difference from float32 doubled.

    Attributes:
        body: names of the nodes that can be quantized, in the order of the graph.
        layers: names of the nodes in ``body`` that have weights.
        photos: number of photos used for the ranges: n, rounded down to a multiple of eight.
    """

    def __init__(self, model: onnx.ModelProto, pixels: Pixels, scratch: Path) -> None:
        self._scratch = scratch
        self._pixels = pixels[: max(_AT_ONCE, len(pixels) // _AT_ONCE * _AT_ONCE)]
        self.photos = len(self._pixels)
        self._folded, self._ranges = scratch / "folded.onnx", scratch / "ranges.json"
        plain = scratch / "plain.onnx"
        onnx.save(model, plain)
        with _tools():
            quant_pre_process(str(plain), str(self._folded), skip_symbolic_shape=True)
        self.folded: onnx.ModelProto = onnx.load(self._folded)
        self.body = body_nodes(self.folded)
        kinds = {node.name: node.op_type for node in self.folded.graph.node}
        self.layers = [name for name in self.body if kinds[name] in _WEIGHTY]
        self._first = next((node.input[0] for node in self.folded.graph.node if node.name in self.layers), "image")
        self._as_pixels = as_pixels(self.folded, self._first)

    def quantize(self, float_layers: int = 0) -> onnx.ModelProto:
        """Quantize ``body``, except its first ``float_layers`` layers and the nodes between them. Raises QuantizeError.

        Later layers cannot stay in floating point: ONNX Runtime quantizes every layer between integer layers. Such a
        layer gets one scale for all channels.
        """
        left = self.layers[:float_layers]
        start = self.body.index(self.layers[float_layers]) if float_layers < len(self.layers) else len(self.body)
        nodes = set(self.body[start:])
        place = self._scratch / "quantized.onnx"
        with _tools():
            if not self._ranges.exists():
                self._find_ranges()
            self._write(place, nodes)
            self._check_float(place, left)
        return onnx.load(place)

    def _find_ranges(self) -> None:
        """Run few photos at a time, because the outputs of every layer stay in memory until the histogram."""
        augmented = str(self._scratch / "augmented.onnx")
        calibrator = create_calibrator(self._folded, _QUANTIZED, augmented, CalibrationMethod.Percentile)
        calibrator.collector = Histograms("percentile", True, _BINS, _BINS, _PERCENTILE, None)
        for start in range(0, self.photos, _AT_ONCE):
            calibrator.collect_data(_Reader(iter([{"image": self._pixels[start : start + _AT_ONCE]}])))
        save_tensors_data(calibrator.compute_data(), self._ranges)

    def _write(self, place: Path, nodes: set[str]) -> None:
        overrides = {weights: [_EIGHT_BITS] for weights in _depthwise_weights(self.folded)}
        pixels = self._as_pixels if nodes.issuperset(self.layers) else None
        if pixels:
            overrides[self._first] = [pixels]
        quantize_static(
            str(self._folded),
            str(place),
            None,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            reduce_range=True,  # 7 bits: without VNNI, the sum of two 8-bit products saturates at 16 bits
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in self.folded.graph.node if node.name not in nodes],
            calibrate_method=CalibrationMethod.Percentile,
            calibration_cache_path=self._ranges,
            extra_options={"TensorQuantOverrides": overrides},
        )
        if pixels:
            onnx.save(_without_scaling(ONNXModel(onnx.load(place)), self._first), place)

    def _check_float(self, model: Path, left: Iterable[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        # the optimizer keeps node names
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(self._scratch / "optimized.onnx")
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
        floats = {node.name for node in nodes if node.op_type.removeprefix("Fused") in _WEIGHTY}
        if lost := [name for name in left if name not in floats]:
            msg = f"ONNX Runtime quantizes {', '.join(lost)}, which should stay in floating point"
            raise QuantizeError(msg)


_EIGHT_BITS: Final = {"quant_type": QuantType.QInt8, "axis": 0, "symmetric": True, "reduce_range": False}


def _without_scaling(model: ONNXModel, value: str) -> onnx.ModelProto:
    """Connect ``image`` to the first layer, because the quantized ``value`` equals the pixels of ``image``."""
    producers = model.output_name_to_node()
    rounding = next(node for node in model.nodes() if node.op_type == "QuantizeLinear" and node.input[0] == value)
    scaling = _ancestors(rounding.output[0], producers)
    for node in [node for node in model.nodes() if node.name in scaling and node.op_type != "Transpose"]:
        model.replace_input_of_all_nodes(node.output[0], node.input[0])
        model.remove_node(node)
    model.clean_initializers()
    del model.graph().value_info[:]  # the stored types of values are now wrong
    return model.model


def _depthwise_weights(model: onnx.ModelProto) -> set[str]:
    """Weights of the depthwise convolutions, which have one input and one output channel per group.

    Only depthwise weights have 8 bits. Depthwise kernels add single products, without saturation. Without VNNI,
    other kernels add two products at once, and the sum saturates at 16 bits (MLAS: MlasConvSymDepthwiseKernelAvx2 and
    ...Avx512Core, MlasConvDepthwiseKernel).
    """
    shapes = {array.name: tuple(array.dims) for array in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in shapes]
    groups = {node.input[1]: next((a.i for a in node.attribute if a.name == "group"), 1) for node in convolutions}
    return {name for name, count in groups.items() if shapes[name][:2] == (count, 1) and count > 1}


class _Reader(CalibrationDataReader):
    def __init__(self, batches: Iterator[dict[str, Pixels]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Pixels] | None:
        return next(self._batches, None)


class Histograms(HistogramCollector):
    """Histograms of the absolute values of activations."""

    def collect_absolute_value(self, name_to_arr: Mapping[str, list[npt.NDArray[np.float32]]]) -> None:
        """Count values. ONNX Runtime's own method sorts values, which takes two fifths of an export's time."""
        for name, (values,) in name_to_arr.items():
            sizes, least, most = np.abs(values).ravel(), values.min(), values.max()
            edges = np.linspace(0.0, sizes.max() or 1.0, _BINS + 1, dtype=np.float32)
            before, edges, *ends = self.histogram_dict.get(name, (np.zeros(_BINS, np.int64), edges, least, most))
            counts = np.bincount((sizes / edges[1]).astype(np.int64), minlength=len(before))
            counts[: len(before)] += before
            edges = np.arange(len(counts) + 1, dtype=np.float32) * edges[1]
            self.histogram_dict[name] = (counts, edges, min(ends[0], least), max(ends[1], most))


@contextmanager
def _tools() -> Iterator[None]:
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except QuantizeError:
        raise
    except Exception as error:
        msg = f"ONNX Runtime's tools cannot quantize the model ({type(error).__name__}: {error})"
        raise QuantizeError(msg) from error
    finally:
        logging.disable(disabled)


_FEWEST_PHOTOS: Final = 16
_FLOAT_LAYERS: Final = (0, 1, 2)
"""Numbers of first layers to try in floating point. Quantizing hardly speeds up a convolution on three channels, and
slows down the next depthwise convolution."""


@dataclass(frozen=True)
class Attempt:
    """A quantized model that ends in ``logits``. ``gain``: the model's speed on one thread, relative to float32."""

    model: onnx.ModelProto
    float_layers: tuple[str, ...]
    photos: int
    drop: Drop
    gain: float


@dataclass(frozen=True)
class Refusal:
    """Why int8 was refused, in words."""

    reason: str


def find_int8(float32: Float32, options: ExportOptions, advance: Advance, min_gain: float = 1.0) -> Attempt | Refusal:
    """Quantize a model, with up to two of its first layers in floating point. Returns the fastest accurate result.

    Half of the training photos set the ranges. The model is tested on the other half and the validation photos.
    The model must be more than ``min_gain`` times as fast as float32 on this machine. Raises InputError.
    """
    training = float32.run.training_pixels()
    if len(training) < _FEWEST_PHOTOS:
        return Refusal(f"quantizing needs {_FEWEST_PHOTOS} training photos, but the run has {len(training)}")
    attempts: list[Attempt] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            quantizer = Quantizer(float32.model, training[::2], Path(scratch))
        except QuantizeError as error:
            return Refusal(str(error))
        counts = [count for count in _FLOAT_LAYERS if count < len(quantizer.layers)]
        for number, count in enumerate(counts):
            advance("Quantizing", number, len(counts))
            try:
                attempts.append(_attempt(float32, quantizer, count))
            except QuantizeError as error:  # ONNX Runtime quantizes whole blocks, even if the first layer is excluded
                failures.append(str(error))
    if failures and not attempts:
        return Refusal(failures[0])
    passed = [one for one in attempts if one.drop.too_much(options.max_drop) is None and one.gain > min_gain]
    return max(passed, key=lambda one: one.gain) if passed else Refusal(why_refused(attempts, options.max_drop))


def _attempt(float32: Float32, quantizer: Quantizer, float_layers: int) -> Attempt:
    model = with_half_weights(quantizer.quantize(float_layers))
    check_plain(model)
    data = model.SerializeToString()
    cost = float32.drop(onnx_scores(data, float32.photos))
    gain = speed_gain(float32.model.SerializeToString(), data, float32.photos)
    return Attempt(model, tuple(quantizer.layers[:float_layers]), quantizer.photos, cost, gain)


def why_refused(attempts: Sequence[Attempt], allowed: float) -> str:
    """Why no int8 model was good enough. ``allowed``: points of accuracy that the model may lose."""
    if not attempts:
        return "it has no layers that are faster with integers"
    best = min(attempts, key=lambda attempt: (max(attempt.drop.estimate, allowed), -attempt.gain))
    loses = best.drop.too_much(allowed) or f"it {best.drop.words}"
    layers = f", with {number_of(len(best.float_layers), 'layer')} in floating point" if best.float_layers else ""
    return f"{loses}; it is {best.gain:.2f} times as fast as float32 in the network{layers}"
