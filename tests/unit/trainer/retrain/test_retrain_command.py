import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import DataError, ExitCode
from tests.paper_cycle import PaperShop
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleFolder, CycleStatus
from trainer.retrain.records import Check, Verdict
from trainer.retrain.screen import show_outcome


def invoke(*arguments: object):
    return CliRunner().invoke(make_app(["trainer"]), ["retrain", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--force"], "say why"), (["--force", "--why", " "], "say why"), (["--why", "so"], "needs --force")],
)
def test_force_and_why_go_together(tmp_path: Path, options: list[str], said: str) -> None:
    done = invoke(tmp_path / "shop.toml", *options)
    assert done.exit_code == ExitCode.USAGE
    assert said in done.output


def test_every_ending_has_its_status() -> None:
    assert [int(status.exit_code) for status in CycleStatus] == [0, 3, 4, 1]


def test_that_there_is_nothing_to_do_is_json_too(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('name = "shop"\ndata = "photos"\nfolder = "cycles"\n[drift]\njobs = ["jobs"]\n')
    done = invoke(tmp_path / "shop.toml", "--when", "drift", "--json")
    assert done.exit_code == ExitCode.NOTHING_NEW
    assert json.loads(done.stdout)["status"] == "nothing_new"


def shown(shop: PaperShop, options: CycleOptions | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    show_outcome(shop.run(options), shop.config, console)
    return console.export_text()


def test_a_promotion_shows_figures_checks_and_the_way_back(shop: PaperShop) -> None:
    text = shown(shop)
    assert "10 test photos that neither has learned from" in text
    assert "0.5000" in text
    assert "✓  accuracy  10 points better" in text
    assert "shop@2 is the champion." in text
    assert "hangtag models rollback shop " in text


def test_a_refusal_shows_what_failed_and_how_to_overrule_it(shop: PaperShop) -> None:
    shop.passes = False
    text = shown(shop)
    assert "✗  accuracy" in text
    assert "shop@2 was refused; shop@1 stays the champion." in text
    assert "hangtag models promote shop@2 --force --why REASON" in text


def test_a_forced_promotion_says_so(shop: PaperShop) -> None:
    shop.passes = False
    assert "shop@2 is the champion, although the gate refused it." in shown(shop, CycleOptions(force="because"))


def test_a_doubtful_check_is_a_yellow_note(shop: PaperShop) -> None:
    outcome = shop.run()
    folder = CycleFolder(shop.config.folder / f"{outcome.number:06d}")
    doubt = Check(name="min_accuracy", passed=True, sentence="no better than one word", doubtful=True)
    folder.write(folder.verdict, Verdict(checks=(doubt,)))
    console = Console(width=200, record=True, file=io.StringIO(), force_terminal=True, color_system="standard")
    show_outcome(outcome, shop.config, console)
    [line] = [line for line in console.export_text(styles=True).splitlines() if "min_accuracy" in line]
    assert "\x1b[33m" in line
    assert "!" in line


def test_a_check_of_too_few_photos_has_no_tick(shop: PaperShop) -> None:
    outcome = shop.run()
    folder = CycleFolder(shop.config.folder / f"{outcome.number:06d}")
    unsure = Check(name="recall", passed=True, sentence="8 photos are too few", unsure=True)
    folder.write(folder.verdict, Verdict(checks=(unsure,)))
    console = Console(width=200, record=True, file=io.StringIO())
    show_outcome(outcome, shop.config, console)
    [line] = [line for line in console.export_text().splitlines() if "recall" in line]
    assert line.split()[:2] == ["?", "recall"]


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_data_that_is_not_there_is_refused_and_leaves_no_folder(tmp_path: Path, kind: str) -> None:
    if kind == "empty":
        (tmp_path / "photos").mkdir()
    (tmp_path / "shop.toml").write_text('name = "shop"\ndata = "photos"\n')
    done = invoke(tmp_path / "shop.toml")
    assert isinstance(done.exception, DataError)
    assert str(tmp_path / "photos") in str(done.exception)
    assert not (tmp_path / "retraining").exists()
