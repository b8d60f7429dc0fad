import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import BusyError, DataError, StoppedError
from models.fit import Decode, Fit
from models.registry.history import CHAMPION, What
from models.registry.registry import CYCLE_REPORT
from tests.paper_cycle import PAPER_ARGS, PaperShop, PaperView, extended, photo_rows, train_on_paper
from trainer.request import Arch
from trainer.retrain.config import CatalogueSettings, TrainSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleStatus
from trainer.run import Run
from worker.registry.show import numbers_words


def test_a_better_challenger_is_promoted(shop: PaperShop) -> None:
    view = PaperView()
    outcome = shop.run(view=view)
    assert not any("No champion" in note for note in view.notes)
    assert outcome.status is CycleStatus.PROMOTED
    assert (outcome.champion, outcome.challenger, outcome.version) == ("shop@1", "shop@2", 2)
    assert shop.registry.state("shop").aliases == {CHAMPION: 2}
    *_, published, promoted = shop.registry.history("shop").events()
    assert (published.what, promoted.what) == (What.PUBLISHED, What.PROMOTED)
    assert promoted.cycle == published.cycle == "000001"
    assert (published.numbers, promoted.numbers["points_95"]) == ({}, [1.0, 19.0])
    assert "points_95 1 to 19" in numbers_words(promoted)
    report = shop.registry.training("shop", 2, CYCLE_REPORT)
    assert report
    assert report.read_text() == "promoted"
    assert [step for step in view.steps if step] == [
        *("collect", "train", "export", "compare", "gate", "publish", "decide", "report", "end")
    ]
    assert outcome.seconds.keys() == {step for step in view.steps if step} - {"end"}


def test_a_first_model_is_trained_from_nothing(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    drawn: list[object] = []
    asked = shop.asked(catalogue=CatalogueSettings(source="rows.csv"))
    view = PaperView()
    outcome = shop.run(config=asked, view=view, draw_rows=lambda *of: drawn.append(of))
    assert asked.registry in view.notes[0], "how to begin with a model that there is"
    assert (outcome.status, outcome.champion, outcome.version) == (CycleStatus.PROMOTED, None, 1)
    assert drawn == [], "there is no champion to compare rows with"
    assert shop.calls == ["collect", "train", "export", "compare with None", "judge", "report"]
    assert shop.requests[0].splits is None
    assert shop.requests[0].weights is None
    assert shop.requests[0].fit is None, "no champion says how photos fill the square"


def test_the_challenger_learns_as_the_champion_did_and_from_its_weights(shop: PaperShop) -> None:
    shop.run()
    request = shop.requests[0]
    assert (request.image_size, request.fit, request.decode) == (48, Fit.PAD, Decode.DCT)
    assert Path(request.weights).read_bytes() == b"weights"
    assert (request.fold_weights, request.name, request.parents) == ("none", "shop", None)
    assert request.splits == shop.cycle() / "earlier.csv"


def test_a_challenger_of_a_pretrained_champion_begins_with_the_same_pretrained_weights(
    shop: PaperShop, tmp_path: Path
) -> None:
    """The champion's own weights have seen photos that would judge the folds of heads."""
    body, own = tmp_path / "body.weights.h5", shop.registry.training("shop", 1, "args.json")
    body.touch()
    changes = {"arch": Arch.MOBILENET, "alpha": 0.25, "weights": str(body)}
    own.write_text(PAPER_ARGS.model_copy(update=changes).model_dump_json())
    view = PaperView()
    shop.run(view=view)
    request = shop.requests[0]
    assert (request.arch, request.alpha, request.weights) == (Arch.MOBILENET, 0.25, str(body))
    assert (request.fold_weights, view.notes) == (None, [])


@pytest.mark.parametrize(
    ("train", "note"),
    [
        ({"arch": "simple"}, "another architecture."),
        ({"weights": "none"}, "[train] weights is none, which overrides warm_start."),
        ({"warm_start": False}, None),
        ({"warm_start": False, "weights": "none"}, None),
    ],
)
def test_the_reason_for_a_cold_start_is_reported(shop: PaperShop, train: dict[str, object], note: str | None) -> None:
    """But a cold start that the settings request is not reported."""
    view, settings = PaperView(), TrainSettings(**train)
    shop.run(config=shop.asked(train=settings), view=view)
    assert shop.requests[0].weights == settings.weights
    assert len(view.notes) == bool(note)
    assert note is None or view.notes[0].endswith(note)


STEPS = ("train", "export", "compare", "judge", "write_report")


@pytest.mark.parametrize("tool", STEPS)
def test_a_stopped_cycle_goes_on_where_it_was(shop: PaperShop, tool: str) -> None:
    shop.stop_at(tool)
    view = PaperView()
    outcome = shop.run(view=view)
    assert outcome.status is CycleStatus.PROMOTED
    assert "Continues cycle 000001" in view.notes[0]
    left = {"train": 6, "export": 4, "compare": 3, "judge": 2, "write_report": 1}[tool]
    assert len(shop.calls) == left - (tool == "train")
    assert list(shop.registry.state("shop").versions) == [1, 2]


def test_a_training_that_was_interrupted_is_resumed(shop: PaperShop) -> None:
    def interrupted(request, run, *_) -> None:
        train_on_paper(run, extended([], photo_rows(0, 33)))
        args = json.loads((run / "args.json").read_text())
        (run / "args.json").write_text(json.dumps(args | {"state": "interrupted"}))

    with pytest.raises(StoppedError, match="run"):
        shop.run(train=interrupted)
    shop.calls.clear()
    assert shop.run().status is CycleStatus.PROMOTED
    assert shop.calls[0] == "resume"


def test_it_keeps_to_the_settings_it_began_with(shop: PaperShop) -> None:
    shop.stop_at("train")
    view = PaperView()
    shop.run(config=shop.asked(train=TrainSettings(epochs=3)), view=view)
    assert shop.requests[0].epochs is None
    assert "--restart" in view.notes[1]


def test_restart_abandons_it_and_its_number(shop: PaperShop) -> None:
    shop.stop_at("export")
    outcome = shop.run(CycleOptions(restart=True))
    assert (outcome.status, outcome.number) == (CycleStatus.PROMOTED, 2)
    assert json.loads((shop.cycle() / "outcome.json").read_text())["status"] == "failed"
    assert not (shop.cycle() / "run").exists()


def test_photos_that_cannot_be_learned_from_end_the_cycle(shop: PaperShop) -> None:
    shop.stop_at("train", DataError("one class only"))
    assert json.loads((shop.cycle() / "outcome.json").read_text())["reasons"] == ["one class only"]
    assert shop.run().number == 2


HOLD = """
import os, sys, time; from pathlib import Path
from models.storage.storage import FolderStorage; from trainer.retrain.cycle import only_cycle
with only_cycle(FolderStorage(Path(sys.argv[1]))):
    if os.fork():
        print("held", flush=True)
    time.sleep(600)
"""


def test_two_at_once_are_refused_and_a_killed_one_holds_nothing(shop: PaperShop) -> None:
    command = [sys.executable, "-c", HOLD, shop.registry.model_storage("shop").place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(BusyError, match=f"process {process.pid} on"):
                shop.run()
            assert shop.calls == []
            process.kill()
            process.wait()
            assert shop.run().status is CycleStatus.PROMOTED, "a child that it leaves holds nothing either"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_old_cycles_keep_what_tells_of_them(shop: PaperShop) -> None:
    config = shop.asked(keep=1, catalogue=CatalogueSettings(source="rows.csv"))
    for end in (33, 36, 39):
        shop.put(photo_rows(0, end))
        shop.run(config=config, draw_rows=lambda settings, folder: folder.mkdir())
    assert {path.name for path in shop.cycle().iterdir()} == {
        *("collected.json", "cycle.json", "comparison.json", "catalogue.json", "verdict.json", "published.json"),
        *("seconds.json", "splits.csv", "report.html", "outcome.json"),
    }
    assert (shop.cycle(3) / "run").is_dir()
    assert (shop.cycle(3) / "catalogue").is_dir()


def keep_tree(shop: PaperShop) -> None:
    file = shop.registry.training("shop", 1, "args.json")
    tree = {"boots": "shoes", "sandals": "shoes", "shoes": "worn"}
    kept = Run(file.parent).args().model_copy(update={"classes": ("boots", "hats", "sandals"), "parents": tree})
    file.chmod(0o644)
    file.write_text(kept.model_dump_json())


@pytest.mark.parametrize(
    ("stated", "in_settings", "parents"),
    [
        ({}, "", {"boots": "shoes", "shoes": "worn", "hats": "", "scarves": ""}),
        ({"boots": "shoes"}, "", {"boots": "shoes", "hats": "", "scarves": ""}),
        ({"boots": "shoes"}, "boots,sold\nhats,\nscarves,\n", {"boots": "sold", "hats": "", "scarves": ""}),
    ],
)
def test_the_settings_tree_overrules_the_datas_and_this_the_champions(
    shop: PaperShop, tmp_path: Path, stated: dict[str, str], in_settings: str, parents: dict[str, str]
) -> None:
    def collect(config, folder, *of):
        collected = shop.tools().collect(config, folder, *of).model_copy(update={"parents": stated})
        (folder / "collected.json").write_text(collected.model_dump_json())
        return collected

    keep_tree(shop)
    shop.put([*photo_rows(0, 33), ("/photos/99.jpg", "scarves")])
    (tmp_path / "tree.csv").write_text(f"label,parent\n{in_settings}")
    train = TrainSettings(taxonomy=tmp_path / "tree.csv" if in_settings else None)
    shop.run(config=shop.asked(train=train), collect=collect)
    assert shop.requests[-1].parents == parents
