"""systemd accepts the units, and they leave a worker enough time to stop."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from models.errors import ExitCode
from tests.docker_files import ROOM
from tests.manual import ROOT, parse
from tests.missing import skip_outside_ci

UNITS = ROOM / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSED = 25
"""Of 100; a service without any hardening has 96."""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    skip_outside_ci(None if shutil.which("systemd-analyze") else "systemd-analyze is not installed; install systemd.")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("hangtag", "hangtag-nightly"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    for unit in UNITS.glob("*.*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/hangtag/bin", str(programs)))
    return tmp_path


def analyze(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [*SERVICES, "hangtag-nightly.timer", "hangtag-retrain.timer"])
def test_systemd_understands_it(installed: Path, name: str) -> None:
    done = analyze("verify", "--man=no", installed / name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_hardened(installed: Path, name: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", installed / name)
    assert done.returncode == 0, done.stdout


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    text = (UNITS / name).read_text().replace("\\\n", " ")
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_a_worker_has_time_to_end_what_it_has_in_hand_and_is_started_again() -> None:
    worker = settings("hangtag-worker.service")
    environment = dict(pair.split("=", 1) for pair in worker["Environment"])
    assert float(worker["TimeoutStopSec"][0]) >= float(environment["HANGTAG_GRACE_S"]) + 10
    assert (worker["KillMode"], worker["KillSignal"]) == (["mixed"], ["SIGTERM"])
    assert worker["Restart"] == ["always"]
    assert worker["User"] != ["root"]


@pytest.mark.parametrize("name", ["hangtag-worker.service", "hangtag-trainer.service", "hangtag-schedule.service"])
def test_the_password_is_a_credential_and_in_no_environment(name: str) -> None:
    worker = settings(name)
    (credential,) = worker["LoadCredential"]
    assert f"HANGTAG_REDIS_PASSWORD_FILE=%d/{credential.partition(':')[0]}" in worker["Environment"]


WORDS = {"${CONFIG}": "/c.toml", "$CONFIGS": "/c.toml", "$OPTIONS": ""}
"""Values from the environment files of the manual."""


@pytest.mark.parametrize("name", [name for name in SERVICES if "/bin/hangtag " in (UNITS / name).read_text()])
def test_what_it_starts_is_a_command_line(name: str) -> None:
    (line,) = settings(name)["ExecStart"]
    for variable, value in WORDS.items():
        line = line.replace(variable, value)
    assert "$" not in line
    parse(shlex.split(line)[1:])


@pytest.mark.parametrize("name", [*SERVICES, "hangtag-nightly.timer", "hangtag-retrain.timer"])
def test_the_manual_installs_it_and_makes_what_it_needs(name: str) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()
    typed = "\n".join(re.findall(r"^ {4,}\S.*$", text, re.MULTILINE))
    unit = settings(name)
    files = [value.rpartition(":")[2] for value in unit.get("LoadCredential", []) + unit.get("EnvironmentFile", [])]
    folders = [folder for value in unit.get("ReadWritePaths", []) for folder in value.split()]
    assert f"docker/systemd/{name}" in typed
    assert [path for path in folders if not re.search(rf"install -d .*{path}\b", typed)] == []
    for path in (file.removeprefix("-") for file in files):
        folder, _, file = path.rpartition("/")
        installed = re.search(rf"install -m \d+ .*/{re.escape(file)}( .*)? {folder}/$", typed, re.MULTILINE)
        assert f"tee {path}" in typed or installed, path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def nightly(results: Path, **changes: str) -> "subprocess.CompletedProcess[str]":
    hangtag = results.parent / "hangtag"
    hangtag.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    hangtag.chmod(0o755)
    env = {
        **os.environ,
        "HANGTAG": str(hangtag),
        "CATALOGUE": "s3://shop/a b.csv",
        "MODEL": "/m",
        "RESULTS": str(results),
    }
    return subprocess.run([UNITS / "hangtag-nightly"], env=env | changes, capture_output=True, text=True, check=False)


def test_the_first_night_labels_everything(results: Path) -> None:
    words = nightly(results).stdout.splitlines()
    assert words[:5] == ["label", "s3://shop/a b.csv", "--model", "/m", "--out"]
    assert re.fullmatch(rf"{results}/\d{{4}}-\d\d-\d\d\.parquet", words[5])
    assert words[6:] == ["--retry-failed"]


def test_later_nights_take_over_from_the_newest_earlier_result(results: Path) -> None:
    for name in ("2026-01-30.parquet", "2026-02-01.parquet", "2026-02-02.parquet", "notes.parquet"):
        (results / name).touch()
    for name in ("2026-01-30.parquet", "2026-02-01.parquet", "notes.parquet"):
        (results / f"{name}.job").mkdir()
    today = nightly(results).stdout.splitlines()[5]
    Path(today).touch()
    assert nightly(results).stdout.splitlines()[4:] == [
        "--out",
        today,
        "--retry-failed",
        "--previous",
        f"{results}/2026-02-01.parquet",
    ]


def test_a_retraining_that_promotes_nothing_is_no_failure() -> None:
    service = settings("hangtag-retrain.service")
    fine = (ExitCode.GATE_REFUSED, ExitCode.NOTHING_NEW, ExitCode.BUSY, ExitCode.INTERRUPTED)
    assert service["SuccessExitStatus"] == [" ".join(f"{status:d}" for status in fine)]
    assert service["KillSignal"] == ["SIGINT"], "what hangtag retrain takes for Ctrl-C"
