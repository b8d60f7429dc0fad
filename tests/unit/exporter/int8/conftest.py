import numpy as np
import pytest


@pytest.fixture(scope="session")
def trained(small_run):
    """The run of a network that tells the classes apart somewhat."""
    from exporter.load_tensorflow import load_tensorflow
    from exporter.training_run import read_training_run

    load_tensorflow()
    return read_training_run(small_run)


@pytest.fixture(scope="session")
def to_logits(trained):
    """Its network, converted."""
    import keras

    from exporter.graph import to_logits

    return to_logits(keras.saving.load_model(trained.network, compile=False), 32, trained.unknown)


@pytest.fixture(scope="session")
def training(trained):
    return trained.training_pixels()[:96]


@pytest.fixture
def says():
    """A model's logits, and its unknown scores if it gives some."""
    from exporter.onnx_says import onnx_logits

    def ask(model, pixels: np.ndarray):
        return onnx_logits(model.SerializeToString(), pixels)

    return ask
