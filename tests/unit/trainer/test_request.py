import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from trainer.request import parse_duration

counts = st.none() | st.integers(0, 999)


@given(counts, counts, counts)
def test_hours_minutes_and_seconds_add_up(hours, minutes, seconds):
    parts = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    text = "".join(f"{count}{unit}" for count, unit in parts if count is not None)
    expected = (hours or 0) * 3600 + (minutes or 0) * 60 + (seconds or 0)
    if expected:
        assert parse_duration(f" {text}") == expected
    else:
        with pytest.raises(InputError):
            parse_duration(text)


@pytest.mark.parametrize("text", ["", "0h0m", "10", "m", "1.5h", "-10m", "30m1h", "10 m", "10min", "soon"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(InputError, match="Expected a time such as 90s, 10m or 1h30m, got"):
        parse_duration(text)
