import numpy as np
import pytest


@pytest.fixture(scope="session")
def training(trained):
    return trained.training_pixels()[:96]


@pytest.fixture(scope="session")
def says():
    """A model's logits, and its unknown scores if it gives some."""
    from exporter.parity import onnx_scores

    def ask(model, pixels: np.ndarray):
        return onnx_scores(model.SerializeToString(), pixels)

    return ask
