"""Every error that Hangtag raises on purpose, in one class tree.

A message names what was expected, what was received, and what to do. The command line prints the message without a
traceback and exits with the error's ``exit_code``.
"""

import errno
import os
from enum import IntEnum, StrEnum, unique
from typing import Final

from models.text import without_secrets


@unique
class ExitCode(IntEnum):
    """Exit statuses of the ``hangtag`` command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    GATE_REFUSED = 3
    NOTHING_NEW = 4
    BUNDLE_REFUSED = 5
    BUSY = 6
    DATA_REFUSED = 7
    INTERRUPTED = 130


class HangtagError(Exception):
    """The base class of all errors that Hangtag raises on purpose."""

    exit_code = ExitCode.FAILURE


class InputError(HangtagError):
    """A path, option or file that Hangtag cannot use."""

    exit_code = ExitCode.USAGE


class DataError(InputError):
    """Labelled photos that Hangtag cannot train on."""


class NothingNewError(HangtagError):
    """No new photos or answers, so there is nothing to do."""

    exit_code = ExitCode.NOTHING_NEW


class MissingExtraError(HangtagError):
    """A package of an extra, such as ``hangtag[train]``, is not installed."""

    exit_code = ExitCode.USAGE


class BundleError(HangtagError):
    """A damaged, incomplete or inconsistent bundle."""

    exit_code = ExitCode.BUNDLE_REFUSED


class DisagreementError(BundleError):
    """An intact bundle whose answers on this machine differ from the answers stored in its golden samples."""


class RegistryError(HangtagError):
    """A registry that lacks a model or a version, or refuses a change."""

    exit_code = ExitCode.USAGE


class TrackingError(HangtagError):
    """A tracking server (MLflow) that cannot be reached or refuses a request. The registry still has all data."""


class BusyError(HangtagError):
    """Another process holds the lock for the same work."""

    exit_code = ExitCode.BUSY


class ParityError(HangtagError):
    """An exported model that disagrees with its Keras model."""


class JobError(HangtagError):
    """A labelling job that cannot start, continue, or be merged into a result."""


class StorageError(JobError):
    """A storage that cannot be reached. A later try may succeed."""


class StoppedError(HangtagError):
    """A person pressed Ctrl-C. Finished work is kept."""

    exit_code = ExitCode.INTERRUPTED


DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk, a full quota, and a file that is too large."""


def system_words(error: OSError) -> str:
    """The system's error, and what to do about it."""
    if error.errno in DISK_FULL:
        where = f" that holds {error.filename}" if error.filename else ""
        return f"The disk{where} is full ({os.strerror(error.errno)}); make room there, and try again."
    return f"The system refused: {error}. Check the path, its permissions, and the free space."


class ImageFault(StrEnum):
    """Why a row of the catalogue has no label: the values of the ``error`` column."""

    MISSING = "missing"
    REFUSED = "refused"
    DOWNLOAD = "download"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    CRASHED = "crashed"
    EMPTY_CELL = "empty_cell"


class ImageError(HangtagError):
    """A photo that cannot be turned into pixels. ``fault`` is the value of the ``error`` column.

    The message hides secrets in URLs, because results, pages and logs show the message.
    """

    def __init__(self, message: str, fault: ImageFault = ImageFault.UNREADABLE) -> None:
        super().__init__(without_secrets(message))
        self.fault = fault
