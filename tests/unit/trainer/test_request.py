import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from trainer.request import Arch, parse_duration


def test_the_architectures():
    assert " ".join(arch.value for arch in Arch) == (
        "cnn simple mobilenet mobilenet_v2 mobilenet_v3_small mobilenet_v3_large efficientnet_v2_b0 resnet50_v2 vgg16 "
        "convnext_tiny"
    )


def test_all_but_our_own_have_imagenet_weights():
    assert [arch for arch in Arch if not arch.is_transfer] == [Arch.CNN, Arch.SIMPLE]


def test_mobilenets_have_a_width():
    assert [arch.alphas for arch in Arch if arch.alphas] == [
        (0.25, 0.5, 0.75, 1.0),
        (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        (0.75, 1.0),
        (0.75, 1.0),
    ]
    assert all(arch.value.startswith("mobilenet") == bool(arch.alphas) for arch in Arch)


counts = st.none() | st.integers(0, 999)


@given(counts, counts, counts)
def test_hours_minutes_and_seconds_add_up(hours, minutes, seconds):
    parts = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    text = "".join(f"{count}{unit}" for count, unit in parts if count is not None)
    expected = (hours or 0) * 3600 + (minutes or 0) * 60 + (seconds or 0)
    if expected:
        assert parse_duration(text) == expected
    else:
        with pytest.raises(InputError):
            parse_duration(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), (" 2h ", 7200)])
def test_times_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "0h0m", "10", "m", "1.5h", "-10m", "30m1h", "10 m", "10min", "1h1h", "soon"]
)
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(InputError, match="Expected a time such as 90s, 10m or 1h30m, got"):
        parse_duration(text)
