"""The files that watch workers: a Grafana dashboard, a scrape example, and alerts."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["alert_rules", "dashboard", "metrics_named", "queries"]

DOCKER = Path(__file__).parents[1] / "docker"


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads((DOCKER / "grafana" / "hangtag.json").read_text())
    return found


def alert_rules() -> list[dict[str, Any]]:
    """The alerts."""
    groups = yaml.safe_load((DOCKER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """What the dashboard and the alerts ask Prometheus."""
    targets = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [*targets, *(rule["expr"] for rule in alert_rules())]


def metrics_named() -> set[str]:
    """The metrics that they ask for."""
    return {name for query in queries() for name in re.findall(r"\bhangtag_\w+", query)}
