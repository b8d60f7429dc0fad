"""Messages of ``hangtag classify``: unusable photos and models."""

import json
from pathlib import Path

from PIL import Image

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages, without_frames

COMMANDS = (
    "good.png page.jpg gone.jpg folder --model {unsure}",
    "good.png --model {unsure} --threshold 0.4",
    "good.png --model {sure} --precision 0.99",
    "good.png --model {sure} --precision 0.98",
    "good.png --model {sure} --precision 0.93",
    "good.png --model {unsure} --precision 0.98",
    "good.png --model {sure} --precision 0.98 --threshold 0.5",
    "good.png --model {sure} --threshold 2",
    "good.png --model {sure} --variant int4",
    "good.png --model nowhere",
    "good.png --model folder",
    "good.png --model run",
    "good.png --model page.jpg",
    "good.png --model other.json",
    "good.png --model shop@champion",
    "good.png --model {sure} --model {unsure}",
    "good.png --model {sure}/edge.onnx",
)


def test_classify(tmp_path: Path, edge_bundle: Path, unsure_bundle: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").save("good.png")
    for folder in ("folder", "run", "other.json"):
        Path(folder).mkdir()
    Path("page.jpg").write_text("<html>")
    Path("run/args.json").write_text("{}")
    Path("other.json/manifest.json").write_text(json.dumps({"schema_version": 2}))
    outputs = {}
    for command in COMMANDS:
        words = [word.format(sure=edge_bundle, unsure=unsure_bundle) for word in command.split()]
        done = run_hangtag("classify", *words, env=clean_environment())
        outputs[f"classify {command}: {done.returncode}"] = without_frames(done.stderr + done.stdout)
    check_messages("classify", outputs, {edge_bundle: "SURE", unsure_bundle: "UNSURE", tmp_path: "HERE"})
