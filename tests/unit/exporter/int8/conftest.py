import numpy as np
import pytest


@pytest.fixture(scope="session")
def training(trained):
    return trained.training_pixels()[:96]


@pytest.fixture(scope="session")
def says():
    from exporter.parity import onnx_scores

    def ask(model, pixels: np.ndarray):
        return onnx_scores(model.SerializeToString(), pixels)

    return ask
