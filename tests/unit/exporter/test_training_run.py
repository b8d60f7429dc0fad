import json
from pathlib import Path

import numpy as np
import pytest

from exporter.training_run import read_training_run
from models.errors import InputError
from models.preprocess import PreprocessSpec


class Network:
    """What the reader never opens."""

    name = "cnn"

    def save(self, path):
        path.write_bytes(b"a network")


@pytest.fixture
def run(make_run):
    return make_run(Network())


def test_a_run_is_read_as_the_training_left_it(run, originals):
    found = read_training_run(run)
    assert (found.name, found.arch, found.classes) == ("shop", "cnn", ("bag", "hat", "shoe"))
    assert found.preprocess == PreprocessSpec(size=32)
    assert found.network == run / "weights" / "best.keras"
    assert found.pixels.shape == (len(originals), 32, 32, 3)
    assert found.pixels.dtype == np.uint8
    assert [photo.name for photo in found.originals] == sorted(photo.name for photo in originals)
    assert found.test_accuracy is None


@pytest.mark.parametrize(("evaluation", "accuracy"), [({"test": {"accuracy": 0.75}}, 0.75), ({"test": None}, None)])
def test_the_accuracy_on_test_is_kept_where_there_is_one(run, evaluation, accuracy):
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    assert read_training_run(run).test_accuracy == accuracy


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_what_is_no_run_is_refused_with_the_way_to_one(tmp_path, place):
    with pytest.raises(InputError, match=r"Expected a run .* make one with hangtag train"):
        read_training_run(tmp_path / place)


@pytest.mark.parametrize("file", ["weights/best.keras", "export/val.npz"])
def test_a_run_that_has_not_ended_is_refused_with_the_way_on(run, file):
    (run / file).unlink()
    with pytest.raises(InputError, match=rf"Expected \S+/{file}, the run has not ended; .* --resume {run}"):
        read_training_run(run)


@pytest.mark.parametrize("file", ["args.json", "export/val.npz", "evaluation.json"])
@pytest.mark.parametrize("data", [b"", b"damaged", b"\xff\xfe"], ids=["empty", "words", "bytes"])
def test_a_damaged_run_is_an_input_error(run, file, data):
    (run / file).write_bytes(data)
    with pytest.raises(InputError, match=Path(file).name):
        read_training_run(run)


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"classes": "bag"}, {"preprocess": {"size": 3}}], ids=str)
def test_arguments_of_another_version_are_refused(run, change):
    args = json.loads((run / "args.json").read_text())
    (run / "args.json").write_text(json.dumps({**args, **change}))
    with pytest.raises(InputError, match=r"args\.json is damaged or of another version"):
        read_training_run(run)
