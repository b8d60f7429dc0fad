from pathlib import Path

import pytest

from models.errors import InputError
from trainer.networks.choice import NamedWeights, default_weights, parse_weights
from trainer.request import Arch


def test_names():
    assert parse_weights("imagenet") is NamedWeights.IMAGENET
    assert parse_weights("none") is NamedWeights.NONE


def test_a_file(tmp_path):
    file = tmp_path / "mine.weights.h5"
    file.touch()
    assert parse_weights(str(file)) == file


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


def test_imagenet_is_the_default_where_there_is_such():
    assert {arch for arch in Arch if default_weights(arch) is NamedWeights.NONE} == {Arch.CNN, Arch.SIMPLE}
