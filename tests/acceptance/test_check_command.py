"""``hangtag check`` on photos with known faults: what it finds, what it leaves, and what it moves."""

import csv
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.errors import ExitCode
from tests.command import clean_environment, run_hangtag

from .seeded_set import SeededSet, seed_faults

EXACT_KINDS = {
    "exact_duplicate": {"is_exact_duplicate"},
    "label_conflict": {"is_label_conflict"},
    "leak": {"is_leak"},
    "wrong_extension": {"is_wrong_extension"},
    "broken": {"is_unreadable", "is_truncated", "is_unsupported"},
    "placeholder": {"is_placeholder"},
}
NEAR_KINDS = ("re-encode", "crop")


@dataclass(frozen=True)
class Checked:
    made: SeededSet
    out: Path
    done: "subprocess.CompletedProcess[str]"

    def flagged(self, *columns: str) -> set[str]:
        with (self.out / "check.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            self.made.name(self.made.folder / row["image"])
            for row in rows
            if any(row[name] == "true" for name in columns)
        }

    @property
    def summary(self) -> dict[str, object]:
        return json.loads((self.out / "check.json").read_text())


def check(cache: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return run_hangtag("check", *map(str, arguments), env=clean_environment(XDG_CACHE_HOME=str(cache), COLUMNS="160"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def checked(cache, tmp_path_factory) -> Checked:
    folder = tmp_path_factory.mktemp("seeded")
    made = seed_faults(folder / "photos", each=40)
    return Checked(made, folder / "out", check(cache, made.folder, "--out", folder / "out"))


@pytest.mark.parametrize("fault", EXACT_KINDS)
def test_exact_kinds_are_all_found_and_nothing_else(checked, fault):
    assert checked.flagged(*EXACT_KINDS[fault]) == checked.made.faults[fault]


@pytest.mark.parametrize("fault", NEAR_KINDS)
def test_near_kinds_are_found(checked, fault):
    wanted = checked.made.faults[fault]
    assert len(checked.flagged("is_near_duplicate") & wanted) / len(wanted) >= 0.9


def test_what_is_called_a_near_duplicate_is_one(checked):
    found = checked.flagged("is_near_duplicate")
    wanted = set().union(*(checked.made.faults[fault] for fault in NEAR_KINDS))
    assert len(found & wanted) / len(found) >= 0.9


def test_the_format_shortcut_is_found_and_said(checked):
    found = {guess["feature"] for guess in checked.summary["shortcuts"] if guess["is_shortcut"]}
    assert "file format" in found
    assert "Shortcut: file format alone " in " ".join(checked.done.stdout.split())


def test_strict_refuses_and_names_what_for(checked, cache, tmp_path):
    done = check(cache, checked.made.folder, "--out", tmp_path, "--strict")
    assert done.returncode == ExitCode.DATA_REFUSED == 7
    assert "--strict: refused for 5 truncated, 5 unsupported, 10 label_conflict, 8 leak" in done.stdout


def test_quarantine_leaves_what_strict_accepts_and_undo_brings_all_back(checked, cache, tmp_path):
    folder = Path(shutil.copytree(checked.made.folder, tmp_path / "photos"))
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    moved = check(cache, folder, "--out", tmp_path / "out", "--quarantine", tmp_path / "aside")
    assert "to undo it: hangtag check --undo" in moved.stdout
    assert check(cache, folder, "--out", tmp_path / "out", "--strict").returncode == 0
    done = check(cache, "--undo", tmp_path / "aside")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
