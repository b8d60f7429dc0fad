from pathlib import Path

import keras
import numpy as np
import pytest

from models.errors import InputError
from trainer.networks.architectures import PRESETS, NotDownloadedError, imagenet_file, models_folder
from trainer.networks.build import build_network, choose_network, features_model, network_of
from trainer.request import Arch, NamedWeights, NetworkChoice, Preset, TrainRequest


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


def test_batch_norms_of_a_network_from_nothing_soon_leave_their_start(random_network, file):
    """MobileNetV2's move by a thousandth a step: after 500 steps they are still half of what they began with."""
    assert momenta(random_network(Arch.MOBILENET_V2)) == {0.9}
    assert momenta(start(file)) == {0.99}, "of one that has learned they are where they should be"


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
    with pytest.raises(InputError, match=f"{path} does not fit {arch}"):
        start(path, arch, None)


@pytest.mark.parametrize("name", ["whole.weights.h5", "whole.h5"])
def test_weights_with_a_top_are_refused(tmp_path, name):
    path, whole = tmp_path / name, narrow(classes=7)
    (whole.save_weights if ".weights." in name else whole.save)(path)
    with pytest.raises(InputError, match="2 arrays more"):
        start(path)


@pytest.mark.rest
def test_weights_of_another_architecture_are_refused_naming_both(file):
    with pytest.raises(InputError, match=rf"{file} does not fit mobilenet_v2 of width 1: it has"):
        start(file, Arch.MOBILENET_V2, None)


@pytest.mark.parametrize("name", ["body.weights.h5", "body.h5", "body.keras", "body.txt"])
def test_a_cut_file_is_told(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(InputError, match=f"{path}"):
        start(path)


def lies(choice, folder=None):
    """A file that is named like the weights of a network, in Keras's folder if in no other."""
    path = (folder or models_folder()) / imagenet_file(choice).name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return path


def offline(choice):
    message = f"{choice} could not be downloaded"
    raise NotDownloadedError(message, "timed out: no answer within 10 s")


def never(choice):
    pytest.fail(f"{choice} was asked for")


def there(choice):
    """As :func:`weights_file`, without network."""
    path = models_folder() / imagenet_file(choice).name
    return path if path.is_file() else offline(choice)


def choose(get, **options):
    return choose_network(TrainRequest(data=Path("photos"), **options), get)


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_begins_with_its_backbone_where_its_weights_are(keras_home, preset):
    plan = PRESETS[preset]
    best = NetworkChoice(plan.backbone, plan.pretrained_size, NamedWeights.IMAGENET)
    lies(best)
    choice, why = choose(there, preset=preset)
    assert choice == best
    assert f"its weights are in {keras_home / 'models'}" in why


def test_weights_that_are_not_here_are_downloaded_and_it_is_said(keras_home):
    choice, why = choose(lies)
    assert (choice.arch, choice.weights) == (PRESETS[Preset.GOOD].backbone, NamedWeights.IMAGENET)
    assert f"its weights were downloaded into {keras_home / 'models'}" in why


def test_offline_another_backbone_that_is_here_is_better_than_none(keras_home):
    small = PRESETS[Preset.QUICK].backbone
    lies(NetworkChoice(small, 128, NamedWeights.IMAGENET))
    choice, why = choose(there, preset=Preset.BEST)
    assert (choice.arch, choice.size) == (small, PRESETS[Preset.BEST].pretrained_size)
    assert "could not be downloaded (timed out" in why


def test_offline_a_training_begins_from_nothing_and_says_which_file_would_help(keras_home):
    tried = []
    choice, why = choose(lambda choice: tried.append(choice) or offline(choice))
    assert choice == NetworkChoice(Arch.CNN, 128, NamedWeights.NONE)
    assert len(tried) == 1, "it waits for an answer once"
    assert "(timed out: no answer within 10 s)" in why
    assert imagenet_file(tried[0]).url in why
    assert len(why.splitlines()) == 1


def test_what_is_asked_for_goes_before_the_preset(keras_home):
    asked = {"arch": Arch.CNN, "preset": Preset.QUICK, "image_size": 112}
    assert choose(never_but_none, **asked) == (NetworkChoice(Arch.CNN, 112, NamedWeights.NONE), None)
    assert choose(never_but_none, arch=Arch.RESNET50_V2, weights="none")[0].size == 128
    for options in ({"weights": "none"}, {"image_size": 31}):
        assert choose(never, **options)[0].arch is Arch.CNN


def never_but_none(choice):
    return None if choice.weights is NamedWeights.NONE else never(choice)


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
