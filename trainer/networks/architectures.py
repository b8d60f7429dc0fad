"""Builds networks with random weights.

The ImageNet weights of ``keras.applications`` are downloaded once.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import build_opener

import keras
from keras import applications, layers
from keras.src.applications import efficientnet_v2, mobilenet, mobilenet_v2, mobilenet_v3, resnet

from models.errors import InputError
from models.whole_file import replace_file
from trainer.networks.efficientnet_lite import lite_body
from trainer.request import Arch, NetworkChoice, Preset

Downloaded: TypeAlias = Callable[[int, int | None], None]
"""Progress callback: (received bytes, total bytes or None if unknown)."""
_DROPOUT: Final = 0.2
_KERNELS: Final = "weights_tf_dim_ordering_tf_kernels"
_TIMEOUT_S: Final = 10.0
_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Plan:
    """The settings of a preset.

    ``backbones``: input size in pixels of each pretrained architecture. Hangtag uses the first architecture whose
    package is installed. Unlisted architectures get the last input size. ``size``: input size of networks
    with random weights.
    ``length`` multiplies the recipe's epochs.
    """

    backbones: Mapping[Arch, int]
    size: int
    length: float

    def size_of(self, arch: Arch, *, pretrained: bool) -> int:
        """The side of the network's input, in pixels."""
        return self.backbones.get(arch, [*self.backbones.values()][-1]) if pretrained else self.size


PRESETS: Final[Mapping[Preset, Plan]] = MappingProxyType(
    {
        Preset.QUICK: Plan({Arch.EFFICIENTNET_LITE0: 224}, size=96, length=0.5),
        Preset.GOOD: Plan({Arch.EFFICIENTNET_LITE0: 192}, size=128, length=1.0),
        Preset.BEST: Plan({Arch.EFFICIENTNET_LITE2: 260, Arch.EFFICIENTNET_LITE0: 224}, size=160, length=1.0),
    }
)
"""On ImageNet, the top-1 accuracy is 75.1% for Lite0 at 224 px, and 77.6% for Lite2 at 260 px."""


def cnn(classes: int) -> keras.Model:
    """Our own network: small enough for a CPU, deep enough for product photos. Accepts any input size.

    Batch norm and ReLU follow every convolution (He et al. 2016). Pixels are scaled so that an int8 model can use
    8-bit pixels directly.
    """
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(image)
    x = _conv_bn_relu(x, 32, strides=2)
    x = _conv_bn_relu(x, 64, strides=2)
    x = _halved(_conv_bn_relu(x, 96))
    x = _residual(x)
    x = _halved(_conv_bn_relu(x, 192))
    x = _residual(x)
    x = _conv_bn_relu(x, 320)
    x = layers.Dropout(_DROPOUT)(layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(image, _with_head(x, classes), name="cnn")


def _conv_bn_relu(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    convolution = layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(convolution(x)))


def _halved(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.MaxPooling2D(padding="same")(x)


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    filters = x.shape[-1]
    return layers.Add()([x, _conv_bn_relu(_conv_bn_relu(x, filters), filters)])


def simple(size: int, classes: int) -> keras.Model:
    """The classic textbook network: three blocks of convolution and pooling, then dense layers."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu", padding="same")(x))
    x = layers.Dense(128, activation="relu", name="features")(layers.Flatten()(x))
    return keras.Model(image, _with_head(x, classes), name="simple")


def transfer(arch: Arch, size: int, classes: int, alpha: float) -> keras.Model:
    """An EfficientNet-Lite or a network of ``keras.applications``, for photos of 32 px or more.

    ``alpha``: width multiplier.
    """
    body = published_body(arch, size, alpha)
    features = layers.GlobalAveragePooling2D(name="features")(body.output)
    x = layers.Dropout(_DROPOUT, name="dropout")(features)
    return keras.Model(body.inputs[0], _with_head(x, classes), name=arch.value)


def published_body(arch: Arch, size: int, alpha: float) -> keras.Model:
    """Build a network without a head. Takes pixels in 0..255, returns maps ``(batch, h, w, c)``."""
    image = keras.Input((size, size, 3), name="image")
    if arch.is_lite:
        return lite_body(arch, image)
    make, scales_itself = _FAMILIES[arch]
    options: dict[str, Any] = {"alpha": alpha} if arch.alphas else {}
    if scales_itself:
        options["include_preprocessing"] = True
    scaled = image if scales_itself else layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)
    return make(include_top=False, weights=None, input_tensor=scaled, input_shape=(size, size, 3), **options)


_FAMILIES: Final[Mapping[Arch, tuple[Any, bool]]] = MappingProxyType(
    {
        Arch.MOBILENET: (applications.MobileNet, False),
        Arch.MOBILENET_V2: (applications.MobileNetV2, False),
        Arch.MOBILENET_V3_SMALL: (applications.MobileNetV3Small, True),
        Arch.MOBILENET_V3_LARGE: (applications.MobileNetV3Large, True),
        Arch.EFFICIENTNET_V2_B0: (applications.EfficientNetV2B0, True),
        Arch.RESNET50_V2: (applications.ResNet50V2, False),
    }
)
"""Keras's function for each architecture, and whether the network scales the pixels itself."""


def _with_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")  # noqa: PLR2004 - binary
    return layers.Activation(activation, name="probabilities")(layers.Dense(units, name="logits")(x))


@dataclass(frozen=True)
class ImageNetFile:
    """A published weights file without the classification top, and its MD5 if Keras publishes it."""

    url: str
    md5: str | None = None

    @property
    def name(self) -> str:
        """The file's name, on disk and on the server."""
        return self.url.rpartition("/")[2]


def models_folder() -> Path:
    """The folder of Keras's weights: ``$KERAS_HOME/models``, or ``~/.keras/models``."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def imagenet_file(choice: NetworkChoice) -> ImageNetFile:
    """Find the ImageNet weights of ``keras.applications`` for the nearest input size."""
    alpha, sizes = choice.width, [128, 160, 192, 224]
    match choice.arch:
        case Arch.MOBILENET:
            model = f"{ {0.25: '2_5', 0.5: '5_0', 0.75: '7_5', 1.0: '1_0'}[alpha] }_{_nearest(choice.size, sizes)}"
            return ImageNetFile(f"{mobilenet.BASE_WEIGHT_PATH}mobilenet_{model}_tf_no_top.h5")
        # Keras requests wide networks at any size, but only 224 px is published (issue 16452)
        case Arch.MOBILENET_V2:
            model = f"{_KERNELS}_{alpha}_{_nearest(choice.size, [96, *sizes]) if alpha <= 1 else 224}"
            return ImageNetFile(f"{mobilenet_v2.BASE_WEIGHT_PATH}mobilenet_v2_{model}_no_top.h5")
        case Arch.EFFICIENTNET_V2_B0:
            url = f"{efficientnet_v2.BASE_WEIGHTS_PATH}efficientnetv2-b0_notop.h5"
            return ImageNetFile(url, efficientnet_v2.WEIGHTS_HASHES["b0"][1])
        case Arch.RESNET50_V2:
            url = f"{resnet.BASE_WEIGHTS_PATH}resnet50v2_{_KERNELS}_notop.h5"
            return ImageNetFile(url, resnet.WEIGHTS_HASHES["resnet50v2"][1])
    model = f"{choice.arch.rpartition('_')[2]}_224_{alpha}_float"
    url = f"{mobilenet_v3.BASE_WEIGHT_PATH}weights_mobilenet_v3_{model}_no_top_v2.h5"
    return ImageNetFile(url, mobilenet_v3.WEIGHTS_HASHES[model][1])


def _nearest(size: int, published: Sequence[int]) -> int:
    return min(published, key=lambda one: abs(one - size))


def fetch(
    file: ImageNetFile, folder: Path, wanted_by: str, progress: Downloaded | None = None, timeout_s: float = _TIMEOUT_S
) -> Path:
    """The path of a weights file, downloaded if missing. ``wanted_by``: the network's name, for messages.

    An incomplete download leaves no file. Raises InputError if the download is incomplete, the server does not answer
    within ``timeout_s``, or the file is not the published file.
    """
    path = folder / file.name
    if path.is_file():
        _check_digest(path.read_bytes(), file, f"{path} differs from {file.url}")
        return path
    try:
        data = _download(file.url, progress or (lambda done, total: None), timeout_s)
        _check_digest(data, file, f"The download of {file.url} differs from the published file")
        replace_file(path, data)
    except (OSError, HTTPException) as error:
        why = str(error.reason if type(error) is URLError else error)
        msg = (
            f"{wanted_by} starts from ImageNet weights, and {file.name} could not be downloaded ({why}); download "
            f"{file.url} on another machine and put it in {folder}, or pass --weights FILE or --weights none."
        )
        raise InputError(msg) from error
    return path


def _download(url: str, progress: Downloaded, timeout_s: float) -> bytes:
    data = bytearray()
    with _answer(url, timeout_s) as response:
        total = response.length
        while chunk := response.read1(_CHUNK):
            data += chunk
            progress(len(data), total)
    if total is not None and len(data) < total:
        msg = f"the download ended after {len(data):,} of {total:,} bytes"
        raise OSError(msg)
    return bytes(data)


def _answer(url: str, timeout_s: float) -> HTTPResponse:
    """Open a URL. ``timeout_s`` is the limit for the DNS look-up and all connection attempts."""
    answer: Future[HTTPResponse] = Future()

    def ask() -> None:
        try:
            answer.set_result(build_opener().open(url, timeout=timeout_s))
        except (OSError, HTTPException) as error:
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout_s)
    except HTTPError as refused:
        refused.close()
        raise
    except TimeoutError as error:
        msg = f"timed out: no answer within {timeout_s:g} s"
        raise TimeoutError(msg) from error


def _check_digest(data: bytes, file: ImageNetFile, wrong: str) -> None:
    actual = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if file.md5 and actual != file.md5:
        msg = f"{wrong}: expected MD5 {file.md5}, got {actual}; the file is incomplete or changed; download it again."
        raise InputError(msg)
