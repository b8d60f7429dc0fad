"""Messages of ``hangtag train`` and ``hangtag evaluate``: unusable data, runs and options."""

import re
from pathlib import Path

import pytest

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages
from tests.paper_cycle import PAPER_ARGS
from trainer.run import Run, RunState

REFUSED = (
    "train",
    "train photos --resume run",
    "train --resume run --epochs 9",
    "train photos --name ../shop",
    "train photos --folds 1",
    "train photos --folds many",
    "train photos --arch vgg",
    "train photos --time-limit soon",
    "train photos --out . --name complete",
    "train photos --out . --name interrupted",
    "train photos --out . --name other",
    "train shop --weights gone.h5",
    "train shop --weights page.h5",
    "train shop --weights photos",
    "train shop --arch cnn --weights imagenet",
    "train shop --arch cnn --weights weights.h5",
    "train shop --arch efficientnet_lite0 --weights none",
    "train shop --arch resnet50_v2 --weights weights.pth",
    "train shop --weights weights.pth",
    "train shop --arch resnet50_v2 --image-size 16",
    "train gone",
    "train photos",
    "train photos --label-column colour",
    "train page.h5",
    "train shop --splits gone.csv",
    "train --resume other",
    "train --resume damaged",
    "evaluate gone photos",
    "evaluate other photos",
    "evaluate damaged photos",
    "evaluate interrupted photos",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("photos/hat", "other", "damaged", "shop/hat", "shop/vase"):
        Path(name).mkdir(parents=True)
    for name in ("hat", "vase"):
        Path(f"shop/{name}/1.png").touch()  # its bytes are read later
    for state in (RunState.COMPLETE, RunState.INTERRUPTED):
        run = Run(Path(state))
        run.write_args(PAPER_ARGS.model_copy(update={"state": state}))
    Path("damaged/args.json").write_text("{}")
    Path("page.h5").write_text("<html>")
    Path("weights.pth").write_bytes(b"\x80\x02\x8a\n and no more")
    Path("weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    return tmp_path


def test_what_is_refused(here: Path) -> None:
    outputs = {}
    for command in REFUSED:
        done = run_hangtag(*command.split(), env=clean_environment())
        words = re.sub("[╭╮╰╯│─]+", " ", done.stderr + done.stdout)
        outputs[f"{command}: {done.returncode}"] = re.sub(r"Usage: .*?--help' for help\.", "", words, flags=re.DOTALL)
    check_messages("train", outputs, {here: "HERE"})
