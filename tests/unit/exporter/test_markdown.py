import pytest

from exporter.markdown import code_block, listed, plain, table


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("t-shirt", "t-shirt"),
        ("a|b", r"a\|b"),
        ("*bold* _it_ `code`", r"\*bold\* \_it\_ \`code\`"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://b)", r"\[a\](http\://b)"),
        ("www.a.b", r"www\.a.b"),
        ("# head", r"\# head"),
        ("- point", r"\- point"),
        ("12. point", r"12\. point"),
        ("5.0 MB", "5.0 MB"),
        ("two\nlines\x07", "two�lines�"),
        ("caf\udce9", "caf�"),
    ],
)
def test_text_means_nothing_but_itself(text, written) -> None:
    assert plain(text) == written


def test_a_very_long_text_is_cut() -> None:
    assert plain("x" * 1000) == "x" * 200 + "…"


def test_code_cannot_end_its_own_block() -> None:
    assert code_block(["a `"], "") == "```\na `\n```"
    block = code_block(["a ```", "b\n```"], "console")
    assert block == "````console\na ```\nb�```\n````"


def test_a_table_has_a_line_a_row() -> None:
    assert table(("class", "n"), [("hat", "3")]) == "| class | n |\n| --- | ---: |\n| hat | 3 |"


def test_long_lists_say_what_they_leave_out() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
