import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InputError
from trainer.networks.choice import NamedWeights, NetworkChoice, default_weights, parse_weights
from trainer.request import Arch, NetworkOptions


def test_every_architecture_can_be_chosen_by_name_alone_with_imagenet_weights_where_there_are_such():
    assert {NetworkChoice(arch, 128, default_weights(arch)).width for arch in Arch} == {1.0}
    assert {arch for arch in Arch if default_weights(arch) is NamedWeights.NONE} == {Arch.CNN, Arch.SIMPLE}


@pytest.mark.parametrize("alpha", [0.1, 0.3, 2.0])
def test_random_weights_have_any_width(alpha):
    assert NetworkChoice(Arch.MOBILENET, 32, NamedWeights.NONE, alpha).width == alpha


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ((Arch.CNN, 128, NamedWeights.IMAGENET), "cnn has no ImageNet weights; .* mobilenet, .*convnext_tiny"),
        ((Arch.SIMPLE, 128, Path("a.h5")), r"simple starts from a \.keras file only .* got a\.h5"),
        ((Arch.VGG16, 128, NamedWeights.NONE, 0.5), "vgg16 has no alpha; .* mobilenet, mobilenet_v2, .*v3_large"),
        ((Arch.CNN, 128, NamedWeights.NONE, 1.0), "cnn has no alpha"),
        ((Arch.MOBILENET, 128, NamedWeights.IMAGENET, 0.3), r"alpha 0\.25, 0\.5, 0\.75, 1, got 0\.3; .*--weights none"),
        ((Arch.MOBILENET_V2, 128, NamedWeights.IMAGENET, 0.25), r"alpha 0\.35, 0\.5, 0\.75, 1, 1\.3, 1\.4"),
        ((Arch.MOBILENET, 128, NamedWeights.NONE, 0.0), r"from 0\.1 to 2, got 0"),
        ((Arch.MOBILENET, 128, NamedWeights.NONE, 3.0), r"from 0\.1 to 2, got 3"),
        ((Arch.MOBILENET, 128, NamedWeights.NONE, float("nan")), r"from 0\.1 to 2, got nan"),
        ((Arch.RESNET50_V2, 16, NamedWeights.NONE), "resnet50_v2 needs 32 px or more, got 16"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(choice, said):
    with pytest.raises(InputError, match=said):
        NetworkChoice(*choice)


def test_it_reads_as_a_person_says_it():
    assert str(NetworkChoice(Arch.MOBILENET, 128, NamedWeights.NONE, 0.25)) == "mobilenet with alpha 0.25"
    assert str(NetworkChoice(Arch.MOBILENET, 128, NamedWeights.NONE)) == "mobilenet with alpha 1"
    assert str(NetworkChoice(Arch.VGG16, 128, NamedWeights.NONE)) == "vgg16"


def test_a_choice_is_refused_before_tensorflow_is_loaded():
    code = "import sys, trainer.networks.choice; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_a_file_named_like_a_name_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("imagenet").touch()
    assert parse_weights("imagenet") is NamedWeights.IMAGENET
    assert parse_weights("./imagenet") == Path("imagenet")


@pytest.mark.parametrize("text", ["ImageNet", "no-such.h5", "random"])
def test_what_is_neither_is_refused_with_the_choices(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"Expected imagenet, none or a file of weights, got {text}"):
        parse_weights(text)


def test_of_a_run_its_best_network_is_named(tmp_path):
    with pytest.raises(InputError, match=r"best\.keras"):
        parse_weights(str(tmp_path))


def test_a_width_without_an_architecture_is_refused():
    with pytest.raises(InputError, match="--alpha needs an architecture; pass --arch, too, one of mobilenet, "):
        NetworkOptions(alpha=0.5)
