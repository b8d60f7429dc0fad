from pathlib import Path

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from tests.unit.trainer.corrections.said import word
from trainer.corrections.store import CorrectionStore


@pytest.mark.parametrize("others", [(), ("hats",)])
def test_corrections_can_be_read_on_80_columns(tmp_path: Path, others: tuple[str, ...]) -> None:
    store = CorrectionStore(tmp_path / "corrections.csv")
    path = "/srv/photos/of/this/winter/" + "a-long-folder/" * 6 + "0001.png"
    words = [word(label="rubber boots", image=path, was="sandals")]
    store.add([*words, *(word(label=label, reviewer="bob", image=path) for label in others)])
    done = CliRunner().invoke(
        make_app(["trainer"]), ["corrections", "list", "--in", str(store.path)], env={"COLUMNS": "80"}
    )
    assert done.exit_code == 0, done.output
    assert "rubber boots" in done.stdout
    assert "2026-05-01 12:00" in done.stdout
    assert "/srv/photos/of/this/win" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
