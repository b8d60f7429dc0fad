import pytest
import tensorflow as tf
from tensorflow.core.util.event_pb2 import Event

from trainer.learning.loop import TensorBoardView
from trainer.run import EpochFigures

FIGURES = [
    EpochFigures(n, 2.0 / n, 0.1 * n, 3.0 / n, 0.2 * n, 1e-3 / n, waiting=0.01 * n, images_per_s=100.0 * n)
    for n in (1, 2)
]


def logged(folder):
    """What is in the event files: name and step → value."""
    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_the_figures_of_each_epoch_can_be_read_back(diary, tmp_path):
    view = TensorBoardView(diary, tmp_path / "logs")
    for row in FIGURES:
        view.epoch(row, 2)
    found = logged(tmp_path / "logs")
    assert {name for name, _ in found} == {
        "loss/train",
        "loss/val",
        "accuracy/train",
        "accuracy/val",
        "learning_rate",
        "images_per_s",
        "waiting",
    }
    for row in FIGURES:
        assert found["loss/train", row.epoch] == pytest.approx(row.train_loss)
        assert found["loss/val", row.epoch] == pytest.approx(row.val_loss)
        assert found["accuracy/train", row.epoch] == pytest.approx(row.train_accuracy)
        assert found["accuracy/val", row.epoch] == pytest.approx(row.val_accuracy)
        assert found["learning_rate", row.epoch] == pytest.approx(row.lr)
        assert found["images_per_s", row.epoch] == pytest.approx(row.images_per_s)
        assert found["waiting", row.epoch] == pytest.approx(row.waiting)


def test_the_other_view_is_told_all_the_same(diary, tmp_path):
    view = TensorBoardView(diary, tmp_path / "logs")
    view.step(1, 2)
    view.epoch(FIGURES[0], 2)
    assert diary.steps == [(1, 2)]
    assert diary.epochs == FIGURES[:1]


def test_a_resumed_training_adds_to_the_logs(diary, tmp_path):
    for row in FIGURES:
        TensorBoardView(diary, tmp_path / "logs").epoch(row, 2)
    assert {step for _, step in logged(tmp_path / "logs")} == {1, 2}
