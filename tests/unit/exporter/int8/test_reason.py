import pytest

from exporter.cost import Drop
from exporter.int8.quantize import Ranges
from exporter.int8.search import Attempt, Int8Search, why_refused


def attempt(points, gain, *layers):
    drop = Drop(200, 0.8, 0.8 + points / 100, points, (points - 1, points + 1), 0.9)
    return Attempt(Ranges.MINMAX, layers, drop, gain)


FIRST = (
    "it loses 3.00 points of accuracy on 200 validation photos (95%: 2.00 to 4.00; 0.5 are allowed); it is 2.00 times "
    "as fast as float32 in the network"
)
NO_HELP = f"{FIRST}. Leaving sensitive layers in floating point did not help"


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ((), "it has no layers that integers would make quicker"),
        ((attempt(3.0, 2.0),), FIRST),
        (
            (attempt(3.0, 2.0), attempt(1.5, 1.75, "a"), attempt(2.0, 1.5, "a", "b")),
            f"{FIRST}. With a sensitive layer in floating point it loses 1.50 and is 1.75 times as fast as float32 "
            "in the network",
        ),
        (
            (attempt(3.0, 2.0), attempt(3.5, 1.75, "a"), attempt(2.0, 1.5, "a", "b")),
            f"{FIRST}. With 2 sensitive layers in floating point it loses 2.00 and is 1.50 times as fast as float32 "
            "in the network",
        ),
        (
            (attempt(3.0, 2.0), attempt(4.0, 1.0, "a")),
            f"{FIRST}. Leaving sensitive layers in floating point did not help",
        ),
    ],
)
def test_the_reason_says_what_was_lost_and_what_leaving_layers_alone_came_to(attempts, reason):
    assert why_refused(Int8Search(None, attempts, 32), 0.5) == reason
