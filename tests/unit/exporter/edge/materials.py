"""A small model that takes squares of 16 px, and photos for it."""

import io

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from exporter.graph import OPSET
from models.classifier import Classifier
from models.fit import Decode, Fit
from models.manifest import METADATA_KEY, ModelMetadata
from models.preprocess import PreprocessSpec
from models.statistics.confidence import PrecisionTarget, UnknownLimit

LABELS = ("dark", "grey", "light")
SIZE = 16


def metadata_of(classes: int, fit: Fit = Fit.PAD, unknown: bool = False, variant: str = "float32") -> ModelMetadata:
    labels = LABELS if classes == len(LABELS) else tuple(f"class {i}" for i in range(classes))
    half = (0.5,) * classes
    return ModelMetadata(
        schema_version=1, name="shop", version="20261121T000000Z", variant=variant, labels=labels,
        preprocess=PreprocessSpec(size=SIZE, fit=fit, decode=Decode.FULL), temperature=1.0,
        taxonomy=None, precision=0.9,
        targets=(
            PrecisionTarget(precision=0.9, thresholds=half, coverage=0.5, class_coverage=half, rows=(9,) * classes),
        ),
        unknown=UnknownLimit(score="distance", limit=1.0, kept=0.9) if unknown else None,
    )  # fmt: skip


def model_of(metadata: ModelMetadata, dtype: int = TensorProto.FLOAT) -> bytes:
    classes = len(metadata.labels)
    weights = np.random.default_rng(classes).normal(0, 0.5, (SIZE * SIZE * 3, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "most"], ["parts"]),
        helper.make_node("Flatten", ["parts"], ["flat"]),
        helper.make_node("Sub", ["flat", "grey"], ["apart"]),
        helper.make_node("MatMul", ["apart", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shares"], axis=1),
        helper.make_node("Cast", ["shares"], ["probabilities"], to=dtype),
    ]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.float32(255), "most")]
    constants.append(numpy_helper.from_array(np.float32(0.5), "grey"))
    outputs = [helper.make_tensor_value_info("probabilities", dtype, ["batch", classes])]
    if metadata.unknown:
        nodes.append(helper.make_node("ReduceMean", ["flat", "axis"], ["unknown"], keepdims=0))
        constants.append(numpy_helper.from_array(np.array([1]), "axis"))
        outputs.append(helper.make_tensor_value_info("unknown", TensorProto.FLOAT, ["batch"]))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    graph = helper.make_graph(nodes, "shop", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: metadata.model_dump_json()})
    return bytes(model.SerializeToString())


def classifier_of(model: bytes, metadata: ModelMetadata) -> Classifier:
    return Classifier(ort.InferenceSession(model, providers=["CPUExecutionProvider"]), metadata, "")


def photo_file(height: int, width: int, seed: int = 0, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, kind)
    return kept.getvalue()
