"""The files that watch workers. That what they ask for is served is seen in ``tests/integration/test_metrics.py``."""

import re
from pathlib import Path

import yaml

from tests.docker_files import ROOM as DOCKER
from tests.docker_files import alert_rules, dashboard, metrics_named
from worker.queue.metrics import COUNTERS

ROOT = Path(__file__).parents[3]
COLUMNS = 24


def test_panels_have_numbers_and_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (row, column)
        for place in (panel["gridPos"] for panel in panels)
        for row in range(place["y"], place["y"] + place["h"])
        for column in range(place["x"], place["x"] + place["w"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for _, column in cells) < COLUMNS


def test_every_panel_asks_the_data_source_that_a_person_chose() -> None:
    panels = dashboard()["panels"]
    assert [variable["type"] for variable in dashboard()["templating"]["list"]] == ["datasource"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["datasource"] == chosen
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_all_that_is_served_is_watched_or_explained() -> None:
    documented = set(re.findall(r"`(hangtag_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    assert metrics_named() - {"hangtag_chunk_seconds_bucket"} <= documented
    assert {f"{counter._name}_total" for counter in COUNTERS} <= documented


def test_alerts_say_what_to_do() -> None:
    assert len({rule["alert"] for rule in alert_rules()}) == len(alert_rules())
    for rule in alert_rules():
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_scrape_example_reads_the_alerts() -> None:
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert [(DOCKER / name).exists() for name in prometheus["rule_files"]] == [True]
