"""ImageNet weights of ``keras.applications``: where Keras has them published, and downloading them.

Addresses and digests are Keras's own: none for MobileNet and MobileNetV2, MD5 for the others; a run's ``args.json``
keeps the SHA-256 of what it began with. The files lie in Keras's folder, but ``keras.utils.get_file`` does not fetch
them: it waits for ever on a network that swallows packets, and writes to the final name as it goes.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import build_opener

from keras.src.applications import efficientnet_v2, mobilenet, mobilenet_v2, mobilenet_v3, resnet

from models.errors import InputError
from models.whole_file import replace_file
from trainer.networks.choice import NetworkChoice
from trainer.request import Arch

Downloaded: TypeAlias = Callable[[int, int | None], None]
"""Gets the bytes that have come and how many there will be; None where the server does not say."""
_KERNELS: Final = "weights_tf_dim_ordering_tf_kernels"
_TIMEOUT_S: Final = 10.0
_CHUNK: Final = 1 << 16


class NotDownloadedError(InputError):
    """Weights could not be downloaded; ``why``, in short."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True)
class ImageNetFile:
    """A published file of weights without the classification top; its MD5, where Keras publishes one."""

    url: str
    md5: str | None = None

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
            model = f"{choice.arch.rpartition('_')[2]}_224_{choice.width}_float"
            url = f"{mobilenet_v3.BASE_WEIGHT_PATH}weights_mobilenet_v3_{model}_no_top_v2.h5"
            return ImageNetFile(url, mobilenet_v3.WEIGHTS_HASHES[model][1])
    return _FILES[choice.arch]


_FILES: Final[Mapping[Arch, ImageNetFile]] = MappingProxyType(
    {
        Arch.EFFICIENTNET_V2_B0: ImageNetFile(
            f"{efficientnet_v2.BASE_WEIGHTS_PATH}efficientnetv2-b0_notop.h5", efficientnet_v2.WEIGHTS_HASHES["b0"][1]
        ),
        Arch.RESNET50_V2: ImageNetFile(
            f"{resnet.BASE_WEIGHTS_PATH}resnet50v2_{_KERNELS}_notop.h5", resnet.WEIGHTS_HASHES["resnet50v2"][1]
        ),
    }
)


def _mobilenet(alpha: float, size: int) -> ImageNetFile:
    spelled = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}[alpha]
    trained_at = _nearest(size, (128, 160, 192, 224))
    return ImageNetFile(f"{mobilenet.BASE_WEIGHT_PATH}mobilenet_{spelled}_{trained_at}_tf_no_top.h5")


def _mobilenet_v2(alpha: float, size: int) -> ImageNetFile:
    """Keras asks for the wide ones at any size, but they are published at 224 only (keras issue 16452)."""
    trained_at = _nearest(size, (96, 128, 160, 192, 224)) if alpha <= 1 else 224
    return ImageNetFile(f"{mobilenet_v2.BASE_WEIGHT_PATH}mobilenet_v2_{_KERNELS}_{alpha}_{trained_at}_no_top.h5")


def _nearest(size: int, sizes: tuple[int, ...]) -> int:
    return min(sizes, key=lambda published: abs(published - size))


def fetch(
    file: ImageNetFile, folder: Path, wanted_by: str, progress: Downloaded | None = None, timeout_s: float = _TIMEOUT_S
) -> Path:
    """Where a file is, for the network ``wanted_by``; it is downloaded if it is not there yet.

    Nothing is kept of a download that breaks off. NotDownloadedError: it did not come whole, or there was no answer
    within ``timeout_s``. InputError: it is not what was published.
    """
    path = folder / file.name
    if path.is_file():
        _check_digest(path.read_bytes(), file, f"{path} is not what {file.url} is")
        return path
    try:
        data = _download(file.url, progress or (lambda done, total: None), timeout_s)
        _check_digest(data, file, f"What came from {file.url} is not what was published there")
        replace_file(path, data)
    except (OSError, HTTPException) as error:
        why = str(error.reason if type(error) is URLError else error)
        msg = (
            f"{wanted_by} starts from ImageNet weights, and {file.name} could not be downloaded ({why}); fetch "
            f"{file.url} on another machine and put it in {folder}, or pass --weights FILE or --weights none."
        )
        raise NotDownloadedError(msg, why) from error
    return path


def _download(url: str, progress: Downloaded, timeout_s: float) -> bytes:
    data = bytearray()
    with _answer(url, timeout_s) as response:
        total = response.length
        while chunk := response.read1(_CHUNK):
            data += chunk
            progress(len(data), total)
    if total is not None and len(data) < total:
        msg = f"it broke off after {len(data):,} of {total:,} bytes"
        raise OSError(msg)
    return bytes(data)


def _answer(url: str, timeout_s: float) -> HTTPResponse:
    """The answer's head, within the time in all: looking up a name knows no limit, and each address has its own."""
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
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if file.md5 and found != file.md5:
        msg = f"{wrong}: expected MD5 {file.md5}, got {found}; it was cut off or changed, get it again."
        raise InputError(msg)
