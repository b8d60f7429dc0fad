"""``hangtag`` commands in this process: starting an interpreter takes longer than most commands."""

import faulthandler
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest.mock import patch

from hangtag.cli import run

HANGTAG = (sys.executable, "-m", "hangtag")
_TOO_LONG_S = 300
_CHANGE_THEIR_PROCESS = {"worker", "schedule"}


def clean_environment(**added: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("HANGTAG_")}, **added}


def one_line(text: str) -> str:
    return " ".join(text.split())


def run_hangtag(*words: object, env: Mapping[str, str] | None = None) -> "CompletedProcess[str]":
    """Run a command to its end. The default ``env`` is this process's, without Hangtag's settings.

    An unexpected error is raised here; a command that hangs ends this process.
    """
    arguments, env = [str(word) for word in words], clean_environment() if env is None else env
    if arguments[0] in _CHANGE_THEIR_PROCESS:
        return subprocess.run(
            [*HANGTAG, *arguments], capture_output=True, text=True, check=False, timeout=_TOO_LONG_S, env=env
        )
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    faulthandler.dump_traceback_later(_TOO_LONG_S, exit=True, file=sys.__stderr__)
    try:
        with (
            patch.dict(os.environ, env, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            run(arguments)
    except SystemExit as end:
        said, complaints = (stream.buffer.getvalue().decode() for stream in (out, err))
        return CompletedProcess(arguments, int(end.code or 0), said, complaints)
    finally:
        faulthandler.cancel_dump_traceback_later()
