"""The manifests of ``docker/kubernetes/`` fit together; they or their page create every object that they use."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.docker_files import ROOM
from tests.manual import ROOT, parse

FOLDER = ROOM / "kubernetes"
PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
FILES = sorted(FOLDER.glob("*.yaml"))
OBJECTS: list[dict[str, Any]] = [each for file in FILES for each in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


PODS = {name: each["spec"]["template"]["spec"] for name, each in of_kind("Deployment").items()}
LABELS = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in of_kind("Deployment").items()}
OURS = [name for name in PODS if name.startswith("hangtag-")]


def container(name: str) -> dict[str, Any]:
    (only,) = PODS[name]["containers"]
    found: dict[str, Any] = only
    return found


def chosen(selector: dict[str, str]) -> list[str]:
    return [name for name, labels in LABELS.items() if selector.items() <= labels.items()]


def ports_of(name: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(name).get("ports", [])}


@pytest.mark.parametrize("name", OURS)
def test_what_it_starts_is_a_command_line(name: str) -> None:
    parse(container(name)["args"])


@pytest.mark.parametrize("name", OURS)
def test_the_image_is_that_of_this_version(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container(name)["image"] == f"registry.example/hangtag-worker:{version}"
    assert f"--tag registry.example/hangtag-worker:{version} " in PAGE.read_text()
    assert PODS[name]["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize("name", PODS)
def test_it_is_hardened_and_limited(name: str) -> None:
    allowed = container(name)["securityContext"]
    assert allowed["readOnlyRootFilesystem"] is True
    assert allowed["runAsNonRoot"] is True
    assert allowed["allowPrivilegeEscalation"] is False
    assert allowed["capabilities"] == {"drop": ["ALL"]}
    assert PODS[name]["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= set(container(name)["resources"]["requests"])
    assert "memory" in container(name)["resources"]["limits"]


def asked(name: str) -> set[tuple[str, str]]:
    found = set()
    for volume in PODS[name]["volumes"]:
        if "secret" in volume:
            found.add(("secret", volume["secret"]["secretName"]))
        if "configMap" in volume:
            found.add(("configmap", volume["configMap"]["name"]))
    for source in container(name).get("envFrom", []):
        (kind,) = source
        found.add((kind.removesuffix("Ref").lower(), source[kind]["name"]))
    return found | {("secret", secret["name"]) for secret in PODS[name].get("imagePullSecrets", [])}


@pytest.mark.parametrize("name", PODS)
def test_what_it_asks_for_is_made(name: str) -> None:
    typed = PAGE.read_text()
    for kind, asked_for in asked(name):
        by_hand = rf"kubectl create {kind}( generic| docker-registry)? {asked_for} "
        assert asked_for in of_kind("ConfigMap") or re.search(by_hand, typed), (kind, asked_for)


def test_policies_let_in_only_what_is_needed_and_forget_no_pod() -> None:
    policies = of_kind("NetworkPolicy")
    held = [name for each in policies.values() for name in chosen(each["spec"]["podSelector"]["matchLabels"])]
    assert sorted(held) == sorted(PODS)
    for name, policy in policies.items():
        allowed = [port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]]
        assert allowed == list(ports_of(name).values()), name
        assert "Ingress" in policy["spec"]["policyTypes"]
    (rule,) = policies["redis"]["spec"]["ingress"]
    assert sorted(chosen(rule["from"][0]["podSelector"]["matchLabels"])) == sorted(OURS)
    assert "egress" not in policies["redis"]["spec"], "it may ask nobody"


def test_a_worker_has_time_to_end_what_it_has_in_hand() -> None:
    worker = PODS["hangtag-worker"]
    grace = {each["name"]: each["value"] for each in container("hangtag-worker")["env"]}["HANGTAG_GRACE_S"]
    assert worker["terminationGracePeriodSeconds"] >= float(grace) + 10


def test_settings_are_described() -> None:
    told = (ROOT / "docs" / "reference" / "environment.md").read_text()
    names = set(of_kind("ConfigMap")["hangtag"]["data"])
    names |= {each["name"] for name in OURS for each in container(name).get("env", [])}
    assert [name for name in sorted(names) if f"`{name}`" not in told] == []
