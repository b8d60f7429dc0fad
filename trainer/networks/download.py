"""A published file of weights, on this machine.

Not by ``keras.utils.get_file``: that waits for ever on a network that swallows packets, writes to the final name as it
goes (a kill leaves a cut file, which the next training takes for whole), and falls back to ``/tmp``.
"""

import hashlib
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import build_opener

from models.errors import InputError
from models.whole_file import replace_file
from trainer.networks.imagenet import ImageNetFile

__all__ = ["fetch"]

_TIMEOUT_S: Final = 10.0
_MD5_DIGITS: Final = 32


def fetch(file: ImageNetFile, folder: Path, wanted_by: str, timeout_s: float = _TIMEOUT_S) -> Path:
    """Where a file is; it is downloaded if it is not there yet.

    Args:
        file: which one.
        folder: where it is, or is to be.
        wanted_by: the network, for messages.
        timeout_s: to connect, and between two pieces of the file.

    Raises:
        InputError: it could not be downloaded, or is not what was published.
    """
    path = folder / file.name
    if path.is_file():
        _check(path.read_bytes(), file, f"{path} is not what {file.url} is")
        return path
    try:
        data = _download(file.url, timeout_s)
        _check(data, file, f"What came from {file.url} is not what was published there")
        replace_file(path, data)
    except (OSError, HTTPException) as error:
        msg = (
            f"{wanted_by} starts from ImageNet weights, and {file.name} could not be downloaded ({error}); fetch "
            f"{file.url} on another machine and put it in {folder}, or pass --weights FILE or --weights none."
        )
        raise InputError(msg) from error
    return path


def _download(url: str, timeout_s: float) -> bytes:
    """The whole of what is at a URL; proxies are those of the environment at this moment."""
    try:
        with build_opener().open(url, timeout=timeout_s) as response:
            data: bytes = response.read()
    except HTTPError as answer:
        answer.close()
        raise
    return data


def _check(data: bytes, file: ImageNetFile, wrong: str) -> None:
    if file.digest is None:
        return
    name = "md5" if len(file.digest) == _MD5_DIGITS else "sha256"
    found = hashlib.new(name, data, usedforsecurity=False).hexdigest()
    if found != file.digest:
        msg = f"{wrong}: expected {name.upper()} {file.digest}, got {found}; it was cut off or changed, get it anew."
        raise InputError(msg)
