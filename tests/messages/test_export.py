"""Messages of ``hangtag export``: unusable runs, places and options."""

import json
import shutil
from pathlib import Path

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages, without_frames

COMMANDS = (
    "{here}/nowhere --out {here}/bundle",
    "{bundle} --out {here}/bundle",
    "{here}/begun --out {here}/bundle",
    "{here}/damaged --out {here}/bundle",
    "{here}/begun --out {here}",
    "{here}/begun --out {here}/file/bundle",
    "{here}/begun --no-int8 --default-variant int8",
    "{here}/begun --default-variant best",
    "{here}/begun --max-drop 101",
)


def test_export(tmp_path: Path, golden_bundle: Path) -> None:
    args = {"schema_version": 1, "name": "shop", "arch": "cnn", "classes": ["a", "b"]}
    args |= {"image_size": 32, "fit": "pad", "decode": "dct"}
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "args.json").write_text(json.dumps(args))
    shutil.copytree(tmp_path / "begun", tmp_path / "damaged")
    (tmp_path / "damaged" / "args.json").write_text("{")
    (tmp_path / "file").touch()
    outputs = {}
    for command in COMMANDS:
        words = [word.format(here=tmp_path, bundle=golden_bundle) for word in command.split()]
        done = run_hangtag("export", *words, env=clean_environment())
        outputs[f"export {command}: {done.returncode}"] = without_frames(done.stdout + done.stderr)
    check_messages("export", outputs, {golden_bundle: "BUNDLE", tmp_path: "HERE"})
