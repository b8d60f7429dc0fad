import json
import os
import subprocess
import sys
from pathlib import Path

from trainer.networks.choice import NamedWeights, NetworkChoice
from trainer.networks.imagenet import imagenet_file, models_folder
from trainer.request import Arch

KERAS_NAMES = {
    Arch.MOBILENET: "MobileNet",
    Arch.MOBILENET_V2: "MobileNetV2",
    Arch.MOBILENET_V3_SMALL: "MobileNetV3Small",
    Arch.MOBILENET_V3_LARGE: "MobileNetV3Large",
    Arch.EFFICIENTNET_V2_B0: "EfficientNetV2B0",
    Arch.RESNET50_V2: "ResNet50V2",
    Arch.VGG16: "VGG16",
    Arch.CONVNEXT_TINY: "ConvNeXtTiny",
}
ASK_KERAS = """
import json, sys, keras
for name, options in json.loads(sys.argv[1]):
    try:
        getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=(224, 224, 3), **options)
    except Exception as error:
        print("asked:", error)
"""
"""Fails to download each file, and says which it was."""


def choose(arch, size, alpha=None):
    return NetworkChoice(arch, size, NamedWeights.IMAGENET, alpha)


CHOICES = [choose(arch, 224, alpha) for arch in KERAS_NAMES for alpha in arch.alphas or (None,)]


def test_keras_asks_for_the_same_files_with_the_same_digests(tmp_path):
    """Keras finds something else under each name, and says the digest that it expected; and there is no network."""
    files = [imagenet_file(choice) for choice in CHOICES]
    (tmp_path / "models").mkdir()
    for file in files:
        if file.digest:
            (tmp_path / "models" / file.name).write_bytes(b"something else")
    asked = [(KERAS_NAMES[c.arch], {"alpha": c.alpha} if c.arch.alphas else {}) for c in CHOICES]
    here = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", ASK_KERAS, json.dumps(asked)],
        env={**here, "KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("asked:")]
    assert len(said) == len(files)
    for line, file in zip(said, files, strict=True):
        assert f"URL fetch failure on {file.url}:" in line
    assert all(f"original value of {file.digest} " in done.stdout for file in files if file.digest)
    assert done.stdout.count("original value of") == sum(file.digest is not None for file in files)


def test_of_a_family_trained_at_several_sizes_the_nearest_is_taken():
    names = [imagenet_file(choose(Arch.MOBILENET, size, 0.25)).name for size in (32, 128, 150, 176, 200, 512)]
    assert names == [f"mobilenet_2_5_{size}_tf_no_top.h5" for size in (128, 128, 160, 160, 192, 224)]
    assert imagenet_file(choose(Arch.MOBILENET_V2, 100, 0.5)).name.endswith("_0.5_96_no_top.h5")


def test_the_wide_ones_are_published_at_one_size():
    assert imagenet_file(choose(Arch.MOBILENET_V2, 96, 1.4)).name.endswith("_1.4_224_no_top.h5")


def test_the_folder_is_that_of_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "models"
    monkeypatch.delenv("KERAS_HOME")
    assert models_folder() == Path.home() / ".keras" / "models"
