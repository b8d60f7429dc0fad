import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InputError
from trainer.request import Arch, NamedWeights, NetworkChoice, parse_weights


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


@pytest.mark.parametrize("text", ["ImageNet", "no-such.h5", "a-run", "page.h5"])
def test_weights_must_be_a_known_name_or_a_file(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("page.h5").write_bytes(b"<html>")
    Path("a-run").mkdir()
    with pytest.raises(InputError) as refused:
        parse_weights(text)
    assert str(refused.value).count(text) == 1
