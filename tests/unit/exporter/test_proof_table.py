import io

import numpy as np
import pytest
from rich.console import Console

from exporter.markdown import code, plain, render_markdown
from models.decision import Scores

from .edge.materials import metadata_of


@pytest.fixture
def show(make_network):  # loads TensorFlow, which the records import
    from exporter.console import print_proof
    from exporter.parity import compare
    from exporter.proof import Proof
    from exporter.variant import Refusal

    def shown(got, *refusals, width=160, **more):
        many = compare(Scores(KERAS, None), Scores(got, None))
        console = Console(width=width, record=True, file=io.StringIO())
        print_proof(Proof(("bag", "hat", "shoe"), many, many, 3, refusals=refusals, **more), console)
        return console.export_text()

    return shown, Refusal


KERAS = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]], np.float32)
OTHER = np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]], np.float32)


def test_what_passed_is_ticked(show):
    text = show[0](KERAS)
    assert "✓" in text
    assert "✗" not in text


def test_tables_break_no_cell_at_80_columns(show) -> None:
    from exporter.cost import Drop
    from exporter.edge.prove import EdgeParity
    from exporter.variant import MadeVariant

    cost = Drop(1_000, 0.871, 0.874, 0.27, (-12.35, 13.42), 2_000, 0.987, 0.27)
    parity = EdgeParity(256, (), 1e-3, 1e-4, (), (), (), 200, (), (), cost, 0.5)
    variant = MadeVariant(metadata_of(3, variant="float16"), b"", 0.871, cost, 13.31, None, None, b"", parity, 11.77)
    lines = show[0](KERAS, width=80, variants=[variant]).splitlines()
    assert max(map(len, lines)) <= 80
    for words in (
        "probabilities, one by one",
        "edge.float16.onnx",
        "13.31 (11.77)",
        "float32 │    0.874",
        "-12.35 to 13.42",
        "-12.3 to 13.4",
    ):
        assert any(words in line for line in lines), words


@pytest.mark.parametrize(("points_95", "mark"), [((-33.0, 33.0), "?"), ((-3.0, 3.0), "✓")])
def test_a_variant_that_few_photos_tell_nothing_of_is_not_ticked(show, points_95, mark) -> None:
    from exporter.cost import Drop
    from exporter.variant import MadeVariant

    cost = Drop(4, 0.75, 0.75, 0.0, points_95, 4, 1.0, 0.0)
    variant = MadeVariant(metadata_of(3, variant="int8"), b"", 0.75, cost, 1.5, None, None, b"", None, None)
    text = show[0](KERAS, variants=[variant])
    (row,) = (line for line in text.splitlines() if "int8" in line)
    assert mark in row
    assert ("?: too few photos to tell what it costs." in text) == (mark == "?")


def test_flips_are_crossed_and_counted_by_class(show):
    text = show[0](OTHER)
    assert "✗" in text
    assert "✓" not in text
    assert "bag → hat: 2" in text


def test_the_default_is_named_with_its_reason_where_there_is_a_choice(show):
    from exporter.default import Default
    from exporter.variant import MadeVariant

    default = Default("int8", "it is [quick]")
    both = [MadeVariant(metadata_of(3, variant=name), b"", 0.9) for name in ("float32", "int8")]
    said = "int8 is the default: it is [quick]. --variant float32 takes another."
    assert said in show[0](KERAS, variants=both, default=default)
    assert "the default" not in show[0](KERAS, variants=both[:1], default=Default("float32", "no other variant ships"))


def test_what_was_refused_is_said_with_the_reason(show):
    shown, refusal = show
    assert "int8 is left out: it is [slow]." in shown(KERAS, refusal("int8", "it is [slow]"))


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


def test_a_template_escapes_all_text_and_leaves_markdown_alone(tmp_path) -> None:
    template = tmp_path / "card.md"
    template.write_text("{{ table(('class', 'n'), rows) }}\n{{ names | listed(2) }}\n{{ part | number('.1%') }}\n")
    shown = render_markdown(template, rows=[("a|b", code("n_1"))], names=["*a*", "b", "c"], part=None)
    assert shown == "| class | n |\n| --- | ---: |\n| a\\|b | `n_1` |\n\\*a\\*, b and 1 more\n–\n"
    assert plain("x" * 1000) == "x" * 200 + "…"
