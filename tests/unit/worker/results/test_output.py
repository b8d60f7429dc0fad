from pathlib import Path

import pytest

from catalogue.writers import check_output
from models.errors import InputError


@pytest.mark.parametrize("name", ["out.xlsx", "out", "nowhere/out.csv", f"{'é' * 99}.csv"])
def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"Expected (an output that ends|the folder .* to exist|the name of --out)"):
        check_output(tmp_path / name)


@pytest.mark.parametrize("url", ["s3://shop/labels.parquet", "https://shop.example/labels.csv"])
def test_an_output_elsewhere_is_told_where_results_go(url: str) -> None:
    with pytest.raises(InputError, match=rf"a file on this machine as --out, got {url}; .*submit --jobs s3:"):
        check_output(Path(url))


def test_a_folder_may_be_called_like_the_start_of_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:").mkdir()
    check_output(Path("s3:/labels.parquet"))


def test_a_folder_that_takes_no_file_is_told_by_name_and_reason() -> None:
    with pytest.raises(InputError, match=r"write in the folder /proc, the system answered .+; name another --out"):
        check_output(Path("/proc/labels.parquet"))


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl"])
def test_a_spreadsheets_option_is_refused_where_no_spreadsheet_reads(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / "OUT.CSV", excel_safe=True)
    check_output(tmp_path / name)
    with pytest.raises(InputError, match=r"ends in \.csv with --excel-safe"):
        check_output(tmp_path / name, excel_safe=True)
