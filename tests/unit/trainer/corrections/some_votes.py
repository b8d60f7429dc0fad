"""Votes of two reviewers on a few photos."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from trainer.corrections.votes import Remark, Vote

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
PHOTOS = ("a" * 64, "b" * 64, "c" * 64)


def vote(photo: int = 0, label: str = "boots", reviewer: str = "anna", minute: float = 0, **more: str) -> Vote:
    return Vote(BEGIN + timedelta(minutes=minute), reviewer, PHOTOS[photo], more.pop("image", ""), label, **more)


def remark(
    photo: int = 0, remark: str = "not_a_product", reviewer: str = "anna", minute: float = 0, **more: str
) -> Vote:
    return vote(photo, "", reviewer, minute, remark=Remark(remark), **more)


votes = st.builds(
    vote,
    st.integers(0, 2),
    st.sampled_from(["boots", "=hats", "'+x"]),
    st.sampled_from(["anna", "bob"]),
    st.integers(0, 3),
) | st.builds(remark, st.integers(0, 2), st.sampled_from(["not_a_product", "more_than_one"]))
