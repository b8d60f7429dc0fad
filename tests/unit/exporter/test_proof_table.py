import io

import numpy as np
import pytest
from rich.console import Console

from exporter.parity import compare


@pytest.fixture
def show(make_network):  # loads TensorFlow, which the records import
    from exporter.console import print_proof
    from exporter.proof import Proof
    from exporter.variant import Refusal

    def shown(many, *refusals):
        console = Console(width=160, record=True, file=io.StringIO())
        print_proof(Proof(many, many, 3, refusals=refusals), ("bag", "hat", "shoe"), console)
        return console.export_text()

    return shown, Refusal


KERAS = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]], np.float32)
OTHER = np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]], np.float32)


def test_what_passed_is_ticked(show):
    text = show[0](compare(KERAS, KERAS))
    assert "✓" in text
    assert "✗" not in text


def test_flips_are_crossed_and_counted_by_class(show):
    text = show[0](compare(KERAS, OTHER))
    assert "✗" in text
    assert "✓" not in text
    assert "bag → hat: 2" in text


def test_what_was_refused_is_said_with_the_reason(show):
    shown, refusal = show
    assert "int8 is left out: it is [slow]." in shown(compare(KERAS, KERAS), refusal("int8", "it is [slow]"))
