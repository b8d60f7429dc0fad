import numpy as np

from trainer.networks.architectures import cnn


def test_cnn_has_nine_convolutions_and_no_flattening():
    kinds = [type(layer).__name__ for layer in cnn(3).layers]
    assert kinds.count("Conv2D") == kinds.count("BatchNormalization") == 9
    assert kinds.count("Add") == 2
    assert "GlobalAveragePooling2D" in kinds
    assert "Flatten" not in kinds


def test_cnn_takes_photos_of_any_size():
    network = cnn(3)
    for size in (16, 40, 96):
        assert network(np.zeros((2, size, size, 3), np.float32)).shape == (2, 3)
