"""ImageNet weights of ``keras.applications``: where they are published, and downloading them; loads no TensorFlow.

Keras asks for the same files and keeps them in the same folder. But ``keras.utils.get_file`` waits for ever on a
network that swallows packets, writes to the final name as it goes (a kill leaves a cut file, which the next training
takes for whole), and falls back to ``/tmp``.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.error import HTTPError
from urllib.request import build_opener

from models.errors import InputError
from models.whole_file import replace_file
from trainer.networks.choice import NetworkChoice
from trainer.request import Arch

__all__ = ["ImageNetFile", "fetch", "imagenet_file", "models_folder"]

_ROOT: Final = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERNELS: Final = "weights_tf_dim_ordering_tf_kernels"
_TIMEOUT_S: Final = 10.0
_MD5_DIGITS: Final = 32


@dataclass(frozen=True)
class ImageNetFile:
    """A published file of weights without the classification top; its MD5 or SHA-256, where Keras publishes one."""

    url: str
    digest: str | None = None

    @property
    def name(self) -> str:
        """The file's name, here and there."""
        return self.url.rpartition("/")[2]


def models_folder() -> Path:
    """The folder where Keras keeps such files: ``$KERAS_HOME/models``, or ``~/.keras/models``."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def imagenet_file(choice: NetworkChoice) -> ImageNetFile:
    """The file for an architecture of ``keras.applications``.

    Of those that were trained at several sizes, the one nearest to the network's is taken.
    """
    match choice.arch:
        case Arch.MOBILENET:
            return _mobilenet(choice.width, choice.size)
        case Arch.MOBILENET_V2:
            return _mobilenet_v2(choice.width, choice.size)
        case Arch.MOBILENET_V3_SMALL | Arch.MOBILENET_V3_LARGE:
            return _mobilenet_v3(choice.arch, choice.width)
    return _FILES[choice.arch]


def _mobilenet(alpha: float, size: int) -> ImageNetFile:
    spelled = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}[alpha]
    trained_at = _nearest(size, (128, 160, 192, 224))
    return ImageNetFile(f"{_ROOT}/mobilenet/mobilenet_{spelled}_{trained_at}_tf_no_top.h5")


def _mobilenet_v2(alpha: float, size: int) -> ImageNetFile:
    """Keras asks for the wide ones at any size, but they are published at 224 only (keras issue 16452)."""
    trained_at = _nearest(size, (96, 128, 160, 192, 224)) if alpha <= 1 else 224
    return ImageNetFile(f"{_ROOT}/mobilenet_v2/mobilenet_v2_{_KERNELS}_{alpha}_{trained_at}_no_top.h5")


def _nearest(size: int, sizes: tuple[int, ...]) -> int:
    return min(sizes, key=lambda published: abs(published - size))


def _mobilenet_v3(arch: Arch, alpha: float) -> ImageNetFile:
    model = f"{arch.rpartition('_')[2]}_224_{alpha}_float"
    return ImageNetFile(f"{_ROOT}/mobilenet_v3/weights_mobilenet_v3_{model}_no_top_v2.h5", _MOBILENET_V3[model])


_MOBILENET_V3: Final[Mapping[str, str]] = MappingProxyType(
    {
        "large_224_0.75_float": "40af19a13ebea4e2ee0c676887f69a2e",
        "large_224_1.0_float": "07fb09a5933dd0c8eaafa16978110389",
        "small_224_0.75_float": "ebdb5cc8e0b497cd13a7c275d475c819",
        "small_224_1.0_float": "d3e8ec802a04aa4fc771ee12a9a9b836",
    }
)
_FILES: Final[Mapping[Arch, ImageNetFile]] = MappingProxyType(
    {
        Arch.EFFICIENTNET_V2_B0: ImageNetFile(
            f"{_ROOT}/efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"
        ),
        Arch.RESNET50_V2: ImageNetFile(
            f"{_ROOT}/resnet/resnet50v2_{_KERNELS}_notop.h5", "fac2f116257151a9d068a22e544a4917"
        ),
        Arch.VGG16: ImageNetFile(f"{_ROOT}/vgg16/vgg16_{_KERNELS}_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
        Arch.CONVNEXT_TINY: ImageNetFile(
            f"{_ROOT}/convnext/convnext_tiny_notop.h5",
            "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
        ),
    }
)


def fetch(file: ImageNetFile, folder: Path, wanted_by: str, timeout_s: float = _TIMEOUT_S) -> Path:
    """Where a file is, for the network ``wanted_by``; it is downloaded if it is not there yet.

    An InputError says that it could not be downloaded, or is not what was published.
    """
    path = folder / file.name
    if path.is_file():
        _check_digest(path.read_bytes(), file, f"{path} is not what {file.url} is")
        return path
    try:
        data = _download(file.url, timeout_s)
        _check_digest(data, file, f"What came from {file.url} is not what was published there")
        replace_file(path, data)
    except (OSError, HTTPException) as error:
        msg = (
            f"{wanted_by} starts from ImageNet weights, and {file.name} could not be downloaded ({error}); fetch "
            f"{file.url} on another machine and put it in {folder}, or pass --weights FILE or --weights none."
        )
        raise InputError(msg) from error
    return path


def _download(url: str, timeout_s: float) -> bytes:
    """Download all that is at a URL, through the environment's proxies."""
    try:
        with build_opener().open(url, timeout=timeout_s) as response:
            data: bytes = response.read()
    except HTTPError as answer:
        answer.close()
        raise
    return data


def _check_digest(data: bytes, file: ImageNetFile, wrong: str) -> None:
    if file.digest is None:
        return
    name = "md5" if len(file.digest) == _MD5_DIGITS else "sha256"
    found = hashlib.new(name, data, usedforsecurity=False).hexdigest()
    if found != file.digest:
        msg = f"{wrong}: expected {name.upper()} {file.digest}, got {found}; it was cut off or changed, get it again."
        raise InputError(msg)
