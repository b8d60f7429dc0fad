"""Messages of ``hangtag verify`` and ``hangtag benchmark``: broken bundles."""

import shutil
from collections.abc import Callable
from pathlib import Path

from models.golden import GOLDEN_FILE
from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages, without_frames
from tests.variants import falsify, list_anew, rewrite


def lose_a_file(bundle: Path) -> None:
    (bundle / "parity.json").unlink()


def change_a_file(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("another\n")
    (bundle / "notes.txt").touch()


def put_no_model_there(bundle: Path) -> None:
    (bundle / "edge.onnx").write_bytes(b"no model")
    list_anew(bundle, "edge.onnx")


def put_the_other_kind_there(bundle: Path) -> None:
    shutil.copy(bundle / "edge.onnx", bundle / "model.int8.onnx")
    list_anew(bundle, "model.int8.onnx")


def expect_something_else(bundle: Path) -> None:
    falsify(bundle, "float32")


def expect_nothing(bundle: Path) -> None:
    rewrite(bundle, GOLDEN_FILE, lambda expected: [sample["answers"].clear() for sample in expected["samples"]])


def write_another_version(bundle: Path) -> None:
    rewrite(bundle, "manifest.json", lambda manifest: manifest.update(schema_version=2))


def damage_the_manifest(bundle: Path) -> None:
    rewrite(bundle, "manifest.json", lambda manifest: manifest["variants"]["int8"].update(temperature=-1))


SPOILED: tuple[Callable[[Path], None], ...] = (
    *(lose_a_file, change_a_file, put_no_model_there, put_the_other_kind_there, expect_something_else),
    *(expect_nothing, write_another_version, damage_the_manifest),
)


def faults_in(output: str) -> str:
    text = without_frames(output)
    return text[max(0, text.find("✗ ")) :]


def test_verify(tmp_path: Path, golden_bundle: Path) -> None:
    outputs, environment = {}, clean_environment()
    for spoil in SPOILED:
        copy = shutil.copytree(golden_bundle, tmp_path / spoil.__name__)
        spoil(copy)
        done = run_hangtag("verify", copy, env=environment)
        outputs[f"verify, {spoil.__name__}: {done.returncode}"] = faults_in(done.stdout) + done.stderr
    (tmp_path / "page.onnx").write_text("<html>")
    for command in ("verify", "benchmark"):
        for place in ("page.onnx", "nowhere", "."):
            done = run_hangtag(command, tmp_path / place, env=environment)
            outputs[f"{command} {place}: {done.returncode}"] = faults_in(done.stdout) + done.stderr
    check_messages("verify", outputs, {tmp_path: "HERE"})
