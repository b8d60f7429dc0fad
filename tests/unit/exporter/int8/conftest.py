import numpy as np
import pytest


@pytest.fixture(scope="session")
def training(trained):
    return trained.training_pixels()[:96]


@pytest.fixture
def says():
    """A model's logits, and its unknown scores if it gives some."""
    from exporter.prove import onnx_logits

    def ask(model, pixels: np.ndarray):
        return onnx_logits(model.SerializeToString(), pixels)

    return ask
