import keras
import numpy as np
import pytest

from models.errors import InputError
from trainer.networks.build import build_network, features_model
from trainer.networks.choice import NamedWeights
from trainer.request import Arch


@pytest.fixture(scope="module")
def network(arch, random_network):
    return random_network(arch)


def test_every_architecture_gives_a_probability_for_each_class(network, pixels):
    output = np.asarray(network(pixels))
    assert (output.shape, output.dtype) == ((3, 3), np.float32)
    assert output.min() >= 0
    assert output.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_two_classes_give_the_probability_of_the_second(arch, random_network, pixels):
    network = random_network(arch, 2)
    output = np.asarray(network(pixels))
    assert output.shape == (3, 1)
    assert ((output > 0) & (output < 1)).all()
    assert network.layers[-1].activation is keras.activations.sigmoid


def test_layers_have_the_names_that_others_look_for(network, arch):
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    assert len(network.get_layer("features").output.shape) == 2
    assert (network.inputs[0].name, network.name) == ("image", arch)


def test_the_body_lies_in_the_one_network(network):
    nested = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    assert all(isinstance(layer, keras.Sequential) for layer in nested), "ConvNeXt has small ones between its stages"
    assert all(len(layer.layers) <= 2 for layer in nested)


def test_a_saved_network_says_the_same(network, pixels, tmp_path):
    network.save(tmp_path / "best.keras")
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    assert np.array_equal(np.asarray(loaded(pixels)), np.asarray(network(pixels)))


def test_the_same_seed_gives_the_same_weights(arch, random_network):
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        networks.append(random_network(arch))
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("size", [16, 100, 128])
def test_our_own_take_every_size(random_network, size):
    for arch in (Arch.CNN, Arch.SIMPLE):
        assert random_network(arch, 5, size).output_shape == (None, 5)


def test_alpha_makes_a_network_narrow(random_network):
    wide, narrow = random_network(Arch.MOBILENET), random_network(Arch.MOBILENET, alpha=0.1)
    assert narrow.count_params() < wide.count_params() / 20


def test_without_network_it_says_which_file_to_put_where(tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError) as caught:
        build_network(Arch.MOBILENET, 32, 3, weights=NamedWeights.IMAGENET, alpha=0.25)
    url = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/mobilenet_2_5_128_tf_no_top.h5"
    assert f"fetch {url} on another machine and put it in {tmp_path / 'models'}," in str(caught.value)
    assert str(caught.value).startswith("mobilenet with alpha 0.25 starts from ImageNet weights")


def test_imagenet_weights_are_taken_from_the_folder_of_keras(tmp_path, monkeypatch, random_network, pixels):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    published = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(64, 64, 3))
    published.save(tmp_path / "models" / "mobilenet_2_5_128_tf_no_top.h5")
    network = build_network(Arch.MOBILENET, 32, 3, weights=NamedWeights.IMAGENET, alpha=0.25)
    got, expected = features_model(network).get_weights(), published.get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


@pytest.mark.parametrize("content", [b"", b"<html>Not Found</html>"])
def test_a_damaged_file_in_the_folder_of_keras_is_told(tmp_path, monkeypatch, content):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "models" / "mobilenet_1_0_128_tf_no_top.h5"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} is damaged"):
        build_network(Arch.MOBILENET, 32, 3, weights=NamedWeights.IMAGENET, alpha=None)
