from pathlib import Path

import pytest

from models.errors import InputError
from worker.merging.output import check_output


@pytest.mark.parametrize("name", ["out.xlsx", "out", "nowhere/out.csv", f"{'é' * 99}.csv"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        check_output(tmp_path / name)


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_a_spreadsheets_option_is_refused_where_no_spreadsheet_reads(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / "OUT.CSV", excel_safe=True)
    check_output(tmp_path / name)
    with pytest.raises(InputError, match=r"ends in \.csv with --excel-safe"):
        check_output(tmp_path / name, excel_safe=True)
