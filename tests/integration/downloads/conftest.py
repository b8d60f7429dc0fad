"""Two misbehaving web servers."""

from collections.abc import Iterator

import pytest

from tests.integration.nasty_server import NastyServer, open_nasty_server


@pytest.fixture
def server() -> Iterator[NastyServer]:
    with open_nasty_server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[NastyServer]:
    with open_nasty_server() as server:
        yield server
