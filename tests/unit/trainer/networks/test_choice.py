import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InputError
from trainer.request import Arch, NamedWeights, NetworkChoice, default_weights, parse_weights


def test_every_architecture_can_be_chosen_by_name_with_imagenet_weights_if_they_exist():
    assert {NetworkChoice(arch, 128, default_weights(arch)).width for arch in Arch} == {1.0}
    assert {arch for arch in Arch if default_weights(arch) is NamedWeights.NONE} == {Arch.CNN, Arch.SIMPLE}


@pytest.mark.parametrize(
    "choice",
    [
        (Arch.CNN, 128, NamedWeights.IMAGENET),
        (Arch.SIMPLE, 128, Path("a.h5")),
        (Arch.RESNET50_V2, 31, NamedWeights.NONE),
        (Arch.RESNET50_V2, 128, Path("a.pth")),
        (Arch.EFFICIENTNET_LITE0, 128, NamedWeights.NONE),
    ],
)
def test_a_network_that_does_not_exist_is_refused(choice):
    with pytest.raises(InputError, match=choice[0]):
        NetworkChoice(*choice)


def test_a_choice_is_refused_before_tensorflow_is_loaded():
    code = "import sys, trainer.request; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_a_file_named_like_a_name_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("old.pth").write_bytes(b"\x80\x02\x8a\x0a")
    assert parse_weights("old.pth") == Path("old.pth")
    Path("imagenet").write_bytes(b"PK\x03\x04")
    assert parse_weights("imagenet") is NamedWeights.IMAGENET
    assert parse_weights("./imagenet") == Path("imagenet")


@pytest.mark.parametrize("text", ["ImageNet", "no-such.h5", "a-run", "page.h5"])
def test_weights_must_be_a_known_name_or_a_file(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("page.h5").write_bytes(b"<html>")
    Path("a-run").mkdir()
    with pytest.raises(InputError) as refused:
        parse_weights(text)
    assert str(refused.value).count(text) == 1
