from pathlib import Path

import numpy as np
import pytest

from worker.catalogue_diff import SampleOptions, draw_sample


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A list of ten thousand photos that are not there: several batches."""
    file = tmp_path / "names.csv"
    file.write_text("sku,photo\n" + "".join(f"{row},{row}.jpg\n" for row in range(1, 10_001)))
    return file


def drawn(source: Path, folder: Path, rows: int, **options: object) -> list[tuple[int, str]]:
    sample = draw_sample(str(source), folder, rows, SampleOptions(**options))
    return list(zip(*(sample.table.column(name).to_pylist() for name in ("row", "image")), strict=True))


def test_the_same_seed_draws_the_same_rows_and_another_others(names: Path, tmp_path: Path) -> None:
    rows = drawn(names, tmp_path / "a", 100)
    assert rows == drawn(names, tmp_path / "b", 100)
    assert rows != drawn(names, tmp_path / "c", 100, seed=1)
    assert all(image == f"{row}.jpg" for row, image in rows)
    assert rows == sorted(set(rows))
    assert len(rows) == 100


def test_every_row_is_as_likely_as_any_other(names: Path, tmp_path: Path) -> None:
    counts = np.zeros(10)
    for seed in range(5):
        rows = np.array([row for row, _ in drawn(names, tmp_path / str(seed), 2000, seed=seed)])
        counts += np.histogram(rows, 10, (1, 10_001))[0]
    assert counts.sum() == 10_000
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(1000)), counts
