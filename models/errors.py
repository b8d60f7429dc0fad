"""Every error Hangtag raises on purpose, under one root.

A message names the expected, the received, and the next step. The command line prints the message without a traceback
and exits with the error's ``exit_code``.
"""

import errno
import os
from enum import IntEnum, StrEnum, unique
from typing import Final

from models.text import without_secrets


@unique
class ExitCode(IntEnum):
    """What the ``hangtag`` command returns to the shell."""

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
    """The root: catch this to catch everything that Hangtag raises on purpose."""

    exit_code = ExitCode.FAILURE


class InputError(HangtagError):
    """A path, option or file from a person that cannot be used."""

    exit_code = ExitCode.USAGE


class DataError(InputError):
    """A set of labelled photos that a training cannot use."""


class NothingNewError(HangtagError):
    """There is nothing to do: no new photos or answers."""

    exit_code = ExitCode.NOTHING_NEW


class MissingExtraError(HangtagError):
    """A command needs packages that only an extra installs."""

    exit_code = ExitCode.USAGE


class BundleError(HangtagError):
    """A bundle that is damaged, incomplete, or disagrees with itself."""

    exit_code = ExitCode.BUNDLE_REFUSED


class DisagreementError(BundleError):
    """A sound bundle with a model that does not repeat its golden samples on this machine."""


class RegistryError(HangtagError):
    """A registry lacks a model or a version, or refuses a change."""

    exit_code = ExitCode.USAGE


class TrackingError(HangtagError):
    """A tracking server (MLflow) that cannot be reached, or refuses; the registry holds everything anyway."""


class BusyError(HangtagError):
    """Another process is doing the same, and only one may at a time."""

    exit_code = ExitCode.BUSY


class ParityError(HangtagError):
    """An exported model that disagrees with its Keras model."""


class JobError(HangtagError):
    """A labelling job that cannot start, go on, or be merged."""


class StorageError(JobError):
    """A storage that cannot be reached; another try may succeed."""


class StoppedError(HangtagError):
    """Somebody pressed Ctrl-C; finished work is kept."""

    exit_code = ExitCode.INTERRUPTED


DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk, a full quota, and a file that is too large."""


def system_words(error: OSError) -> str:
    """What the system refused, and what to do."""
    if error.errno in DISK_FULL:
        where = f" that holds {error.filename}" if error.filename else ""
        return f"The disk{where} is full ({os.strerror(error.errno)}); make room there, and try again."
    return f"The system refused: {error}. Check the path, its write permission, and the free space."


class ImageFault(StrEnum):
    """Why a catalogue row has no label: the values of the ``error`` column."""

    MISSING = "missing"
    REFUSED = "refused"
    DOWNLOAD = "download"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    CRASHED = "crashed"


class ImageError(HangtagError):
    """A photo that cannot be turned into pixels; ``fault`` is the kind, as in the ``error`` column.

    The message hides secrets of URLs: it goes into results, pages and logs.
    """

    def __init__(self, message: str, fault: ImageFault = ImageFault.UNREADABLE) -> None:
        super().__init__(without_secrets(message))
        self.fault = fault
