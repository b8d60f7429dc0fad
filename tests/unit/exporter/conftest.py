import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import open_bundle
from models.manifest import Manifest
from models.preprocess import PreprocessSpec, preprocess
from models.statistics.confidence import Confidence

UNSURE = Confidence(temperature=1.0, precision=None, targets=(), unknown=None, rows=0)


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Any]:
    from exporter.options import load_tensorflow

    load_tensorflow()
    import keras

    from trainer.networks.build import build_network
    from trainer.request import Arch, NamedWeights

    def make(arch: str, classes: int, alpha: float | None = None) -> Any:
        keras.utils.set_random_seed(7)
        network = build_network(Arch(arch), 32, classes, weights=NamedWeights.NONE, alpha=alpha)
        logits = network.get_layer("logits")
        weights, biases = logits.get_weights()
        logits.set_weights([weights * 10, biases + np.linspace(-0.2, 0.2, len(biases))])
        return network

    return make


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def originals(catalogue: Path) -> list[Path]:
    return sorted(catalogue.glob("*/*.png"))[:6]


@pytest.fixture(scope="session")
def trained(small_run):
    from exporter.options import load_tensorflow
    from exporter.training_run import read_training_run

    load_tensorflow()
    return read_training_run(small_run)


@pytest.fixture(scope="session")
def to_logits(trained):
    import keras

    from exporter.graph import to_logits

    return to_logits(keras.saving.load_model(trained.network, compile=False), 32, trained.unknown_head)


@pytest.fixture
def make_run(tmp_path: Path, originals: list[Path]) -> Callable[..., Path]:
    def make(network: Any, classes: Sequence[str] = ("bag", "hat", "shoe"), confidence: Confidence = UNSURE) -> Path:
        run, spec = tmp_path / "run", PreprocessSpec(size=32)
        (run / "export" / "originals").mkdir(parents=True)
        (run / "weights").mkdir()
        network.save(run / "weights" / "best.keras")
        for number, photo in enumerate(originals):
            shutil.copy(photo, run / "export" / "originals" / f"{number:03}{photo.suffix}")
        seen = np.stack([preprocess(photo.read_bytes(), spec) for photo in originals])
        np.savez(run / "export" / "val.npz", pixels=seen, labels=np.zeros(len(seen), int), groups=np.arange(len(seen)))
        np.savez(run / "export" / "train_sample.npz", pixels=np.repeat(seen, 6, axis=0))
        args = {"schema_version": 1, "name": "shop", "arch": network.name, "classes": list(classes)}
        (run / "args.json").write_text(
            json.dumps({**args, "image_size": spec.size, "fit": spec.fit, "decode": spec.decode})
        )
        (run / "confidence.json").write_text(confidence.model_dump_json())
        (run / "evaluation.json").write_text('{"val": {"accuracy": 0.5, "n": 6}}')
        return run

    return make


@pytest.fixture
def manifest(golden_bundle: Path) -> Manifest:
    made = open_bundle(golden_bundle).manifest
    listed = {name: digest for name, digest in made.files.items() if name.endswith(".onnx")}
    return made.model_copy(update={"files": listed})
