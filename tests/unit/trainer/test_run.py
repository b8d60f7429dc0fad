import json

import numpy as np
import pytest

from models.errors import InputError
from models.preprocess import PreprocessSpec
from trainer.arch import Arch
from trainer.run import Run, RunArgs, RunState, open_run

ARGS = RunArgs(
    schema_version=1,
    name="shop",
    data="/srv/photos",
    arch=Arch.CNN,
    preprocess=PreprocessSpec(size=64),
    classes=("hat", "vase"),
    epochs=40,
    batch=64,
    patience=15,
    seed=7,
    state=RunState.INTERRUPTED,
    epochs_done=3,
    best_epoch=2,
    made_with={"keras": "3.15.1"},
)

ARGS_JSON = """{
 "schema_version": 1,
 "name": "shop",
 "data": "/srv/photos",
 "arch": "cnn",
 "preprocess": {
  "size": 64,
  "fit": "pad",
  "decode": "dct",
  "dct_floor": 1
 },
 "classes": [
  "hat",
  "vase"
 ],
 "epochs": 40,
 "batch": 64,
 "patience": 15,
 "seed": 7,
 "splits": null,
 "fix_leaks": false,
 "state": "interrupted",
 "epochs_done": 3,
 "best_epoch": 2,
 "made_with": {
  "keras": "3.15.1"
 }
}"""


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "shop")


def test_args_json_is_as_documented(run):
    run.write_args(ARGS)
    assert (run.path / "args.json").read_text() == ARGS_JSON


def test_args_are_read_as_they_were_written(run):
    run.write_args(ARGS)
    assert open_run(run.path).args() == ARGS


def test_args_are_replaced_whole_and_leave_no_temporary_file(run):
    run.write_args(ARGS)
    run.write_args(ARGS.model_copy(update={"epochs_done": 4}))
    assert run.args().epochs_done == 4
    assert [path.name for path in run.path.iterdir()] == ["args.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"unheard_of": 1},
        {"epochs": "40"},
        {"classes": None},
        {"state": "asleep"},
        {"arch": "vgg"},
    ],
)
def test_args_of_another_version_are_refused(run, change):
    run.path.mkdir()
    (run.path / "args.json").write_text(json.dumps(json.loads(ARGS_JSON) | change))
    with pytest.raises(InputError, match=r"args\.json is damaged or of another version of Hangtag; train anew"):
        run.args()


def test_torn_args_are_refused(run):
    run.path.mkdir()
    (run.path / "args.json").write_text(ARGS_JSON[:100])
    with pytest.raises(InputError, match="damaged"):
        run.args()


def test_a_folder_that_is_no_run_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"Expected a run .* found none; make one with hangtag train"):
        open_run(tmp_path)


def test_pixels_are_kept_without_pickle(run):
    pixels, labels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3), np.array([1, 0])
    run.write_pixels("val", pixels, labels)
    with np.load(run.path / "export" / "val.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["labels", "pixels"]
        assert np.array_equal(arrays["pixels"], pixels)
        assert np.array_equal(arrays["labels"], labels)
