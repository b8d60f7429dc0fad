"""Models that tell red, green and blue apart by their mean: made in a moment, without TensorFlow."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models.benchmark.measure import Effort
from models.manifest import METADATA_KEY, Manifest, Variant
from models.preprocess import PreprocessSpec

LABELS = ("red", "green", "blue")
SIZE = 32
QUICK = Effort(rounds=1, calls=3, batches=2, seconds=0.05)
COLOURS = {"red": (220, 40, 40), "green": (40, 220, 40), "blue": (40, 40, 220)}
"""Of the photos, besides a reddish green and a greenish blue that a model with a bias gets wrong."""


def model_bytes(manifest: Manifest, variant: str, bias: float, edge: bool = False, weight: int = 1) -> bytes:
    """A network that likes red by ``bias`` grey levels more than it should; ``weight`` makes its file large."""
    axes, shape = ([0, 1], ["height", "width", 3]) if edge else ([1, 2], ["batch", SIZE, SIZE, 3])
    constants = {
        "axes": np.array(axes),
        "scale": np.full(3, 0.1, np.float32),
        "bias": np.array([bias / 10, 0, 0], np.float32),
        "ballast": np.arange(weight, dtype=np.float32),
        "last": np.array([-1]),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [3] if edge else ["batch", 3])]
    if edge:
        nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=-1, keepdims=0))
        nodes.append(helper.make_node("ReduceMax", ["probabilities", "last"], ["confidence"], keepdims=0))
        constants["threshold"] = np.array(0.5, np.float32)
        nodes.append(helper.make_node("Less", ["confidence", "threshold"], ["review"]))
        outputs.append(helper.make_tensor_value_info("review", TensorProto.BOOL, []))
        outputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, []))
        outputs.append(helper.make_tensor_value_info("confidence", TensorProto.FLOAT, []))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: manifest.metadata(variant).model_dump_json()})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (48, 36)) -> Image.Image:
    return Image.new("RGB", size, colour)


def names_of(variants: dict[str, Variant], files: dict[str, bytes]) -> list[str]:
    return [*files, *(name for variant in variants.values() for name in variant.files.values())]


def manifest_of(variants: dict[str, Variant], digests: dict[str, str]) -> Manifest:
    return Manifest(
        schema_version=1,
        name="colours",
        version="20260101T000000Z",
        arch="cnn",
        labels=LABELS,
        preprocess=PreprocessSpec(size=SIZE),
        default_variant="float32",
        variants=variants,
        files=digests,
        accuracy=None,
        made_with={},
    )
