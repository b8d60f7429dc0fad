import h5py
import keras
import numpy as np
import pytest

from models.errors import InputError
from trainer.networks.build import build_network, features_model
from trainer.networks.choice import NamedWeights
from trainer.request import Arch


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


def test_the_body_lies_in_the_one_network_with_the_names_that_others_look_for(network, arch):
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    assert len(network.get_layer("features").output.shape) == 2
    assert (network.inputs[0].name, network.name) == ("image", arch)
    nested = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    assert all(isinstance(layer, keras.Sequential) for layer in nested), "ConvNeXt has small ones between its stages"
    assert all(len(layer.layers) <= 2 for layer in nested)


def test_the_same_seed_gives_the_same_weights(arch, random_network):
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        networks.append(random_network(arch))
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        assert np.array_equal(one, other)


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


def narrow(**options):
    return keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), **options)


def start(weights, arch=Arch.MOBILENET, alpha=0.25, size=32):
    return build_network(arch, size, 3, weights=weights, alpha=alpha)


@pytest.fixture
def file(tmp_path):
    """Keras's own body of alpha 0.25."""
    path = tmp_path / "body.weights.h5"
    narrow(include_top=False).save_weights(path)
    return path


@pytest.mark.parametrize(("arch", "size"), [(Arch.CNN, 32), (Arch.SIMPLE, 32), (Arch.MOBILENET, 64)])
def test_a_run_is_gone_on_from_with_another_head_and_where_maps_are_pooled_another_size(
    random_network, arch, size, tmp_path
):
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
    with pytest.raises(InputError, match=f"{path} does not fit {arch}: .*--image-size"):
        start(path, arch, None)


def test_a_whole_model_with_its_top_serves_by_its_body(tmp_path):
    whole = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=7)
    whole.save(tmp_path / "whole.keras")
    weights = features_model(start(tmp_path / "whole.keras")).get_weights()
    *body, _, _ = whole.get_weights()  # without the kernel and the bias of its top
    assert all(np.array_equal(one, other) for one, other in zip(weights, body, strict=True))


@pytest.mark.parametrize("name", ["whole.weights.h5", "whole.h5"])
def test_weights_with_a_top_are_refused(tmp_path, name):
    path, whole = tmp_path / name, narrow(classes=7)
    (whole.save_weights if ".weights." in name else whole.save)(path)
    with pytest.raises(InputError, match="2 arrays more, a classification top"):
        start(path)


def test_the_alpha_that_weights_are_of_is_named(file):
    with pytest.raises(InputError, match=r"does not fit mobilenet with alpha 1: it is of alpha 0\.25; pass --alpha 0"):
        start(file, alpha=1.0)


def test_weights_of_another_architecture_are_refused_naming_both(file):
    with pytest.raises(InputError, match=rf"{file} does not fit vgg16: it has 7 of the 26 arrays; pass its own --arch"):
        start(file, Arch.VGG16, None)


def test_an_optimizers_state_is_no_matter(tmp_path):
    body = narrow(include_top=False)
    body.compile("adam", "mse")
    body.optimizer.build(body.trainable_variables)
    body.save_weights(tmp_path / "trained.weights.h5")
    with h5py.File(tmp_path / "trained.weights.h5") as saved:
        assert "optimizer" in saved
    start(tmp_path / "trained.weights.h5")


@pytest.mark.parametrize("name", ["body.weights.h5", "body.h5", "body.keras", "body.txt"])
@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n and no more"])
def test_a_cut_file_is_told(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}"):
        start(path)


def test_a_format_that_is_named_like_the_other_is_to_be_renamed(file, tmp_path):
    with pytest.raises(InputError, match=r"rename it to mine\.weights\.h5"):
        start(file.rename(tmp_path / "mine.h5"))
    narrow(include_top=False).save(tmp_path / "old.h5")
    with pytest.raises(InputError, match=r"rename it to old\.h5"):
        start((tmp_path / "old.h5").rename(tmp_path / "old.weights.h5"))
