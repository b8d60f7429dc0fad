import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from exporter.markdown import code, plain, render_markdown
from models.bundle import read_manifest
from models.decision import Scores
from models.manifest import Quantization
from tests.paper_bundle import write_paper_bundle

from .edge.materials import metadata_of


@pytest.fixture
def show(make_network):  # loads TensorFlow, which the records import
    from exporter.console import print_proof
    from exporter.parity import compare
    from exporter.proof import Proof

    def shown(got, width=160, **more):
        many = compare(Scores(KERAS, None), Scores(got, None))
        console = Console(width=width, record=True, file=io.StringIO())
        print_proof(Proof(("bag", "hat", "shoe"), many, many, 3, **more), console)
        return console.export_text()

    return shown


@pytest.fixture
def made(make_network):
    from exporter.cost import Drop
    from exporter.edge.prove import EdgeParity
    from exporter.variant import Int8Facts, MadeVariant

    def make(*points_95):
        cost = Drop(1_000, 0.871, 0.874, 0.27, points_95, 2_000, 0.987, 0.27)
        parity = EdgeParity(256, 0, 1e-3, 1e-4, 0, (), (), 200, (), 0, cost, 0.5)
        facts = Int8Facts(cost, 13.31, 11.77, None, Quantization(float_layers=(), photos=9))
        int8 = MadeVariant(metadata_of(3, variant="int8"), b"", 0.871, facts, b"", parity)
        return MadeVariant(metadata_of(3), b"", 0.874), int8

    return make


KERAS = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]], np.float32)
OTHER = np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]], np.float32)


def test_passed_checks_are_ticked_and_flips_are_crossed_and_counted_by_class(show):
    assert ("✓" in show(KERAS), "✗" in show(KERAS)) == (True, False)
    assert ("✓" in show(OTHER), "✗" in show(OTHER)) == (False, True)
    assert "bag → hat: 2" in show(OTHER)


def test_tables_break_no_cell_at_80_columns(show, made) -> None:
    lines = show(KERAS, width=80, variants=made(-12.35, 13.42)).splitlines()
    assert max(map(len, lines)) <= 80
    for words in (
        "probabilities, one by one",
        "edge.int8.onnx",
        "13.31 (11.77)",
        "float32 │    0.874",
        "-12.35 to 13.42",
        "-12.3 to 13.4",
    ):
        assert any(words in line for line in lines), words


def test_the_default_and_a_refusal_come_with_their_reasons(show, made):
    from exporter.int8 import Refusal
    from exporter.proof import Default

    both = made(-3.0, 3.0)
    assert "int8 is the default: it is [quick]." in show(KERAS, variants=both, default=Default("int8", "it is [quick]"))
    assert "the default" not in show(
        KERAS, variants=both[:1], default=Default("float32", "the bundle has no other variant")
    )
    assert "it is [slow]." in show(KERAS, refusal=Refusal("it is [slow]"))


def test_the_card_calls_a_gain_a_gain(made, tmp_path) -> None:
    from exporter.assemble import _CARD
    from exporter.proof import Proof

    float32, int8 = made(-5.0, 1.0)
    gain = replace(int8.facts.cost, points=-2.0)
    int8 = replace(int8, facts=replace(int8.facts, cost=gain), edge_parity=replace(int8.edge_parity, cost=gain))
    manifest = read_manifest(write_paper_bundle(tmp_path, 1)).manifest
    same = SimpleNamespace(photos=1, largest=0.0, near_ties=0)
    proof = Proof(manifest.labels, same, same, 1, (float32, int8))
    card = render_markdown(_CARD, manifest=manifest, tree=None, proof=proof, precision_text=str)
    assert "int8 gains 2.00 points of accuracy" in card
    assert "the graph gains 2.0 points of accuracy" in " ".join(card.split())


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
