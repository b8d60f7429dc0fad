import numpy as np

from exporter.assemble import to_ort
from exporter.card import OPERATORS_FILE
from exporter.prove import onnx_scores


def test_the_mobile_file_says_the_same_and_keeps_its_metadata(bundle, small_run):
    from models.session import open_session, read_metadata

    data = (bundle / "model.onnx").read_bytes()
    files = to_ort({"model.onnx": data, "model.again.onnx": data})
    assert set(files) == {"model.ort", "model.again.ort", OPERATORS_FILE}
    with np.load(small_run / "export" / "val.npz") as kept:
        pixels = kept["pixels"]
    mobile = files["model.ort"]
    assert mobile[4:8] == b"ORTM"
    assert np.abs(onnx_scores(mobile, pixels).probabilities - onnx_scores(data, pixels).probabilities).max() < 1e-5
    metadata = read_metadata(open_session(mobile, "model.ort", 1), "model.ort")
    assert metadata == read_metadata(open_session(data, "model.onnx", 1), "model.onnx")


def test_the_operators_are_listed_and_no_folder_of_ours_is(bundle, capfd):
    operators = to_ort({"model.onnx": (bundle / "model.onnx").read_bytes()})[OPERATORS_FILE].decode()
    assert any(line.startswith("ai.onnx;") and "Softmax" in line for line in operators.splitlines())
    assert "#" not in operators
    assert "/" not in operators
    assert capfd.readouterr() == ("", "")
