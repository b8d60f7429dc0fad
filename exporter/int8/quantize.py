"""Static quantization: weights and activations as 8-bit integers, with ranges that are found on training photos.

ONNX Runtime's own tools do it, in the form that it recommends: ``QuantizeLinear`` and ``DequantizeLinear`` around each
operator (QDQ), weights per channel and symmetric, activations unsigned.
"""

import contextlib
import io
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.errors import ParityError
from models.preprocess import Pixels

__all__ = ["QuantizeError", "Quantizer", "Ranges", "body_nodes", "layers_of"]

_WEIGHTY: Final = frozenset({"Conv", "MatMul", "Gemm"})
_QUANTIZED: Final = ("Conv", "MatMul", "Gemm", "Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
"""Operators for which ONNX Runtime has integer kernels that are worth using."""
_AT_ONCE: Final = 8


def body_nodes(model: onnx.ModelProto) -> list[str]:
    """The nodes between the first layer with weights and the features, in the order of the graph.

    What comes before is the scaling of pixels. What comes after, logits, probabilities and the unknown score, is a
    thousandth of the work, and all of the decision: it stays in floating point.

    Args:
        model: has an output ``logits`` that a MatMul or Gemm gives from the features.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    features = _features(model, producers)
    after_first = _descendants(model, [node for node in model.graph.node if node.op_type in _WEIGHTY])
    before_features = _ancestors([features], producers)
    return [node.name for node in model.graph.node if node.name in after_first and node.name in before_features]


def layers_of(model: onnx.ModelProto, names: Iterable[str]) -> list[str]:
    """Names of the nodes that have weights: those whose rounding can cost accuracy."""
    wanted = set(names)
    return [node.name for node in model.graph.node if node.name in wanted and node.op_type in _WEIGHTY]


def _features(model: onnx.ModelProto, producers: Mapping[str, onnx.NodeProto]) -> str:
    name = "logits"
    while producers[name].op_type not in {"MatMul", "Gemm"}:
        name = next(value for value in reversed(producers[name].input) if value in producers)
    return str(producers[name].input[0])


def _ancestors(values: list[str], producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    found, waiting = set[str](), list(values)
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


def _descendants(model: onnx.ModelProto, sources: Iterable[onnx.NodeProto]) -> set[str]:
    """The sources and all that depends on them; an ONNX graph lists its nodes in an order that can be computed."""
    found, values = set[str](), {name for node in sources for name in node.output}
    for node in model.graph.node:
        if values.intersection(node.input) or values.intersection(node.output):
            found.add(node.name)
            values.update(node.output)
    return found


class QuantizeError(ParityError):
    """A model that ONNX Runtime's tools cannot quantize."""


class Ranges(StrEnum):
    """How the range of an activation is found from its values on the photos: all of them, or all but outliers.

    By entropy (as TensorRT does) took minutes where there are hundreds of layers, and was hardly nearer to float32.
    """

    PERCENTILE = "percentile"
    MINMAX = "minmax"


class Quantizer:
    """Quantizes one model, in several ways.

    Batch norms are folded into the convolutions before them, once. The ranges of the activations are found once for
    each method.

    Args:
        model: has an output ``logits``.
        pixels: training photos, ``uint8 (n, S, S, 3)``, eight at least: what the ranges are found on. They are used
            eight at a time; the rest is left out.
        weight_bits: 7 is safe on every processor (see :class:`models.manifest.Quantization`).
        scratch: a folder for what it keeps meanwhile.

    Raises:
        QuantizeError: ONNX Runtime's tools cannot read the model.
    """

    def __init__(self, model: onnx.ModelProto, pixels: Pixels, weight_bits: Literal[7, 8], scratch: Path) -> None:
        self._scratch = scratch
        self._pixels = pixels[: max(_AT_ONCE, len(pixels) // _AT_ONCE * _AT_ONCE)]
        self._weight_bits = weight_bits
        self._folded = scratch / "folded.onnx"
        plain = scratch / "plain.onnx"
        onnx.save(model, plain)
        with _tools():
            quant_pre_process(str(plain), str(self._folded), skip_symbolic_shape=True)
        self.folded: onnx.ModelProto = onnx.load(self._folded)
        self.body = body_nodes(self.folded)

    def quantize(self, ranges: Ranges, nodes: Collection[str]) -> onnx.ModelProto:
        """Quantize some nodes; the others compute as before.

        Args:
            ranges: how the ranges of the activations are found.
            nodes: names, of those in ``body``.

        Returns:
            A model with the same inputs and outputs.

        Raises:
            QuantizeError: the tools cannot.
        """
        place = self._scratch / "quantized.onnx"
        with _tools():
            quantize_static(
                str(self._folded),
                str(place),
                _Reader(self._pixels),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTIZED),
                per_channel=True,
                reduce_range=self._weight_bits == 7,  # noqa: PLR2004 - bits
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[node.name for node in self.folded.graph.node if node.name not in set(nodes)],
                calibrate_method=CalibrationMethod.MinMax if ranges is Ranges.MINMAX else CalibrationMethod.Percentile,
                calibration_cache_path=self._scratch / f"{ranges}.json",
                extra_options={"CalibStridedMinMax": min(_AT_ONCE, len(self._pixels))},
            )
        return onnx.load(place)


class _Reader(CalibrationDataReader):
    """Feeds photos a few at a time: every layer's outputs are kept until their range has been computed."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._waiting: Iterator[Pixels] = iter([pixels])

    def __len__(self) -> int:
        return len(self._pixels)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._waiting = iter([self._pixels[start_index:end_index]])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch: Any = next(self._waiting, None)
        return None if batch is None else {"image": batch}


@contextmanager
def _tools() -> Iterator[None]:
    """Run ONNX Runtime's tools without their printed lines and advice; whatever they raise becomes a QuantizeError."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:
        msg = f"ONNX Runtime's tools cannot quantize it ({type(error).__name__}: {error})"
        raise QuantizeError(msg) from error
    finally:
        logging.disable(disabled)
