import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError
from models.preprocess import PreprocessSpec
from tests.conftest import small_request
from tests.unit.trainer.run_files import ARGS, Diary
from trainer.data.dataset import Split
from trainer.data.photo_files import fault_of, measure_photo
from trainer.judging.evaluate import Evaluation
from trainer.learning.training import Training
from trainer.request import Arch, TrainRequest
from trainer.run import Run
from trainer.splits.assigned import AssignedPhoto

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def misbehaving_plugin(monkeypatch):
    """Give new processes two made-up formats: BOOM ends in SIGSEGV, HANG never ends."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty Keras folder, without a network connection."""
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


@pytest.fixture
def mobilenet_file(tmp_path):
    """Keras's own body of alpha 0.25, with random weights."""
    path = tmp_path / "body.weights.h5"
    keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), include_top=False).save_weights(
        path
    )
    return path


@pytest.fixture
def diary():
    return Diary()


@dataclass(frozen=True)
class Trained:
    path: Path
    request: TrainRequest
    evaluation: Evaluation

    @property
    def run(self):
        return Run(self.path)


@pytest.fixture(scope="session")
def trained(small_run, catalogue):
    """A small network that was trained on the drawn catalogue; read-only."""
    evaluation = Evaluation.model_validate_json(Run(small_run).evaluation.read_bytes())
    return Trained(small_run, small_request(catalogue), evaluation)


@dataclass(frozen=True)
class MemoryStore:
    """Pixels by name, in memory; records the names that are taken."""

    spec: PreprocessSpec
    pixels: dict[str, np.ndarray]
    taken: list[list[str]] = field(default_factory=list)

    def take(self, names):
        self.taken.append(list(names))
        size = self.spec.size
        return np.stack([self.pixels[name] for name in names] or np.empty((0, size, size, 3), np.uint8))


@pytest.fixture(scope="session")
def make_store():
    """A store of photos ``uint8 (n, S, S, 3)``, named by their numbers."""

    def make(pixels):
        return MemoryStore(PreprocessSpec(size=pixels.shape[1]), {str(i): photo for i, photo in enumerate(pixels)})

    return make


QUICK = {"arch": Arch.SIMPLE, "epochs": 3, "batch": 8, "seed": 1}
COLOURS = np.array([(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200)])


@pytest.fixture
def make_training(tmp_path, make_store):
    """Makes a training on noise in the classes' colours; each two consecutive photos are one group.

    Args of the returned function:
        labels: class indices of the training photos.
        held: class indices of the held-out photos.
        size: of the photos in pixels.
        changes: to the run's args.
    """

    def make(labels=(0, 1, 2) * 8, held=(0, 1, 2) * 2, size=16, **changes):
        both = [*labels, *held]
        noise = np.random.default_rng(4).integers(-40, 41, (len(both), size, size, 3))
        pixels = np.clip(COLOURS[both][:, None, None] + noise, 0, 255).astype(np.uint8)
        classes = tuple("abcde"[: max(both) + 1])
        photos = [
            AssignedPhoto(
                path=tmp_path / "photos" / f"{i}.png",
                label=classes[label],
                split=Split.TRAIN if i < len(labels) else Split.VAL,
                sha256=str(i),
                group=f"g{i // len(classes) // 2}-{label}",
            )
            for i, label in enumerate(both)
        ]
        args = QUICK | {"image_size": size, "classes": classes} | changes
        return Training(
            args=ARGS.model_copy(update=args),
            store=make_store(pixels),
            photos=photos[: len(labels)],
            held=photos[len(labels) :],
            run=Run(tmp_path / "run"),
        )

    return make


@pytest.fixture
def logits_network():
    """Makes a network of one dense layer on all pixels: as many units as biases, all weights equal to the given one."""

    def make(biases=(1.0,), weight=0.0, size=16):
        image = keras.Input((size, size, 3), name="image")
        features = keras.layers.Flatten(name="features")(keras.layers.Rescaling(1 / 255)(image))
        logits = keras.layers.Dense(len(biases), name="logits")
        activation = keras.layers.Activation("sigmoid" if len(biases) == 1 else "softmax", name="probabilities")
        network = keras.Model(image, activation(logits(features)))
        logits.set_weights([np.full((size * size * 3, len(biases)), weight), np.array(biases)])
        return network

    return make


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory, catalogue):
    """The catalogue's hats and vases; a test may remove them."""
    folder = tmp_path_factory.mktemp("two") / "photos"
    for name in ("hat", "vase"):
        shutil.copytree(catalogue / name, folder / name)
    return folder


@pytest.fixture
def binary(two_classes):
    """A request for three epochs of the classic recipe on two classes."""
    return small_request(two_classes).model_copy(update={"arch": Arch.SIMPLE, "epochs": 3})


@pytest.fixture(scope="session")
def encode():

    def save(image, file_format="PNG", **options):
        buffer = BytesIO()
        image.save(buffer, file_format, **options)
        return buffer.getvalue()

    return save


@pytest.fixture(scope="session")
def tiles():
    """Draws coloured squares; images of different seeds are not alike."""

    def draw(seed=0, size=(120, 90)):
        colours = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
        return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)

    return draw


@pytest.fixture(scope="session")
def refused():
    """The fault of undecodable bytes."""

    def fault(data):
        with pytest.raises(ImageError) as caught:
            measure_photo(data)
        return fault_of(data, caught.value)

    return fault
