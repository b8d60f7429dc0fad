"""Invalid edge graphs are refused on loading, on running, and by commands."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporter.edge.build import edge_graph
from exporter.edge.prove import prove_edge
from models.classifier import load_edge
from models.errors import BundleError
from models.verify import verify
from tests.unit.exporter.edge.materials import classifier_of, metadata_of, model_of, photo_file

METADATA = metadata_of(3)
MODEL = model_of(METADATA)
EDGE = edge_graph(MODEL, METADATA)
PHOTO = np.random.default_rng(1).integers(0, 256, (30, 20, 3), dtype=np.uint8)


def changed(how: Callable[[onnx.GraphProto], None]) -> bytes:
    model = onnx.load_from_string(EDGE)
    how(model.graph)
    data: bytes = model.SerializeToString()
    return data


def take_the_least_likely(graph: onnx.GraphProto) -> None:
    next(node for node in graph.node if node.op_type == "ArgMax").op_type = "ArgMin"


def take_the_last_of_equals(graph: onnx.GraphProto) -> None:
    weights = next(constant for constant in graph.initializer if constant.name.endswith("weights"))
    weights.raw_data = bytes(len(weights.raw_data))
    largest = next(node for node in graph.node if node.op_type == "ArgMax")
    next(entry for entry in largest.attribute if entry.name == "select_last_index").i = 1


def put_between(graph: onnx.GraphProto, name: str, operator: str, other: str) -> None:
    last = next(node for node in graph.node if name in node.output)
    last.output[0] = "before"
    graph.node.append(helper.make_node(operator, ["before", other], [name]))


def claim_half_the_confidence(graph: onnx.GraphProto) -> None:
    graph.initializer.append(helper.make_tensor("two", TensorProto.FLOAT, [], [2.0]))
    put_between(graph, "confidence", "Div", "two")


def claim_no_number(graph: onnx.GraphProto) -> None:
    graph.initializer.append(helper.make_tensor("nan", TensorProto.FLOAT, [], [float("nan")]))
    put_between(graph, "confidence", "Add", "nan")


LIES = [take_the_least_likely, claim_half_the_confidence, claim_no_number]
LIE = "Expected label "


@pytest.mark.parametrize("lie", LIES, ids=[lie.__name__ for lie in LIES])
def test_a_label_that_its_probabilities_do_not_bear_out_is_refused(lie, tmp_path):
    data = changed(lie)
    edge = load_edge(data, "edge.onnx")
    with pytest.raises(BundleError, match=LIE):
        edge.run(PHOTO)
    with pytest.raises(BundleError, match=LIE):
        prove_edge(edge, classifier_of(MODEL, METADATA), [photo_file(30, 20)], None)
    (tmp_path / "edge.onnx").write_bytes(data)
    (fault,) = verify(tmp_path / "edge.onnx").faults
    assert LIE in fault.detail


def test_of_equal_classes_only_the_first_may_be_the_label():
    with pytest.raises(BundleError, match=LIE):
        load_edge(changed(take_the_last_of_equals), "edge.onnx").run(PHOTO)


@pytest.mark.parametrize(
    ("gone", "named"), [({"label"}, "label"), ({"confidence", "label"}, "label and confidence")], ids=["one", "two"]
)
def test_an_output_that_is_missing_is_named(gone, named):
    def lose(graph: onnx.GraphProto) -> None:
        kept = [output for output in graph.output if output.name not in gone]
        del graph.output[:]
        graph.output.extend(kept)

    with pytest.raises(BundleError, match=named):
        load_edge(changed(lose), "e.onnx")


def test_a_model_that_takes_squares_is_told_from_one():
    with pytest.raises(BundleError, match=r"edge\.onnx"):
        load_edge(MODEL, "model.onnx")
