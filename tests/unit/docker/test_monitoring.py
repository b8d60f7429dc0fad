"""The files that monitor workers. ``tests/integration/test_metrics.py`` checks that workers serve these metrics."""

import re
from pathlib import Path

import yaml
from prometheus_client import Counter

from tests.docker_files import ROOM as DOCKER
from tests.docker_files import alert_rules, metrics_named
from worker.queue import metrics

ROOT = Path(__file__).parents[3]


def test_all_that_is_served_is_watched_or_explained() -> None:
    documented = set(re.findall(r"`(hangtag_\w+)", (ROOT / "docs" / "metrics.md").read_text()))
    assert metrics_named() - {"hangtag_chunk_seconds_bucket"} <= documented
    counters = {f"{one._name}_total" for one in vars(metrics).values() if isinstance(one, Counter)}
    assert len(counters) > 1
    assert counters <= documented


def test_alerts_say_what_to_do() -> None:
    assert len({rule["alert"] for rule in alert_rules()}) == len(alert_rules())
    for rule in alert_rules():
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_scrape_example_reads_the_alerts() -> None:
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert [(DOCKER / name).exists() for name in prometheus["rule_files"]] == [True]
