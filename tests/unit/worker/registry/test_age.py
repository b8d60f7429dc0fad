from datetime import UTC, datetime

import pytest

from worker.registry.console import ago

NOW = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("2026-11-22T03:00:30+00:00", "just now"),
        ("2026-11-22T02:59:30+00:00", "just now"),
        ("2026-11-22T02:59:00+00:00", "1 minute ago"),
        ("2026-11-22T02:01:00+00:00", "59 minutes ago"),
        ("2026-11-22T03:00:00+02:00", "2 hours ago"),
        ("2026-11-19T03:00:00+00:00", "3 days ago"),
        ("2026-10-01T03:00:00+00:00", "1 month ago"),
        ("2024-11-01T03:00:00+00:00", "2 years ago"),
    ],
)
def test_people_are_told_how_long_ago(then: str, said: str) -> None:
    assert ago(then, NOW) == said
