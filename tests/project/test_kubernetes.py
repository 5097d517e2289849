"""The chart and the manifests for Kubernetes, and the alerts."""

import itertools
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.serve.settings import load_serve_settings
from flows.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "kubernetes" / "chart"
MANIFESTS = DEPLOY / "kubernetes" / "manifests.yaml"
VARIANTS = {
    "defaults": (),
    "one": ("shards=1", "serve.replicas=0", "networkPolicy.enabled=false", "topicsJob.enabled=false"),
    "all": (
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "kafka.passwordSecret=kafka",
        "serve.store=redis://redis:6379/0",
        "serve.allowAnonymous=true",
        "storage.className=fast",
        "shards=16",
        "image.tag=1.2.3",
        "settings.top=20",
        "podAnnotations.team=shop",
        "nodeSelector.disk=ssd",
    ),
}
"""Values that differ from those of the chart."""
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
"""Kinds that Kubernetes does not have by itself."""


def run(*command: str, directory: Path = ROOT) -> str:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run([program, *command[1:]], check=False, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def render(variant: str) -> str:
    changed = itertools.chain.from_iterable(("--set", value) for value in VARIANTS[variant])
    return run("helm", "template", "freshrank", "deploy/kubernetes/chart", "--kube-version", "1.31", *changed)


def objects(text: str) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with the dev extra")
    return [each for each in yaml.YAML(typ="safe", pure=True).load_all(text) if each]


def expect_valid(found: list[dict[str, Any]]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate comes with the dev extra")
    for each in found:
        if each["kind"] not in CUSTOM:
            for version in ("1.27", "1.37"):
                validator.validate(each, version, strict=True)


def pods(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in found:
        if each["kind"] in ("StatefulSet", "Deployment", "Job"):
            yield each["spec"]["template"]["spec"]


def of_kind(found: list[dict[str, Any]], kind: str, name: str = "freshrank") -> dict[str, Any]:
    [one] = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return one


def test_manifests_are_valid_and_confined() -> None:
    found = objects(MANIFESTS.read_text())
    expect_valid(found)
    for pod in pods(found):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_selectors_find_the_pods_of_their_objects() -> None:
    found = objects(MANIFESTS.read_text())
    job, server = of_kind(found, "StatefulSet"), of_kind(found, "Deployment", "freshrank-serve")
    for name, workload in (("freshrank", job), ("freshrank-serve", server)):
        labels = workload["spec"]["template"]["metadata"]["labels"].items()
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels
        assert of_kind(found, "Service", name)["spec"]["selector"].items() <= labels
        assert of_kind(found, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items() <= labels
        ports = {port["name"] for port in workload["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in of_kind(found, "Service", name)["spec"]["ports"]} == ports


def test_the_job_and_the_server_read_the_settings_of_the_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = objects(MANIFESTS.read_text())
    file = tmp_path / "freshrank.toml"
    file.write_text(of_kind(found, "ConfigMap")["data"]["freshrank.toml"])
    settings = load_settings(file)
    assert (settings.recovery, settings.metrics_port) == (Path("/var/lib/freshrank"), 9464)
    replicas = of_kind(found, "StatefulSet")["spec"]["replicas"]
    assert tomllib.loads(file.read_text())["shard"] == f"auto/{replicas}"
    server = of_kind(found, "Deployment", "freshrank-serve")["spec"]["template"]["spec"]["containers"][0]
    for variable in server["env"]:
        if "value" in variable:
            monkeypatch.setenv(variable["name"], variable["value"])
    serving = load_serve_settings({})
    assert (serving.host, serving.port) == ("0.0.0.0", 8080)


@pytest.mark.parametrize("variant", VARIANTS)
def test_chart_is_valid_with_other_values(variant: str) -> None:
    found = objects(render(variant))
    expect_valid(found)
    if variant == "all":
        assert {each["kind"] for each in found} >= CUSTOM
        rules = of_kind(found, "PrometheusRule")["spec"]
        assert rules == objects((DEPLOY / "prometheus" / "alerts.yml").read_text())[0]
    if variant == "one":
        settings = of_kind(found, "ConfigMap")["data"]["freshrank.toml"]
        assert "shard" not in tomllib.loads(settings)
        assert {each["kind"] for each in found} == {"ConfigMap", "StatefulSet", "Service", "PodDisruptionBudget"}


def test_manifests_are_the_chart_with_its_values() -> None:
    assert MANIFESTS.read_text().splitlines()[2:] == render("defaults").splitlines()


def test_chart_has_no_complaints() -> None:
    run("helm", "lint", "--strict", str(CHART))


@pytest.mark.slow
def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    run("promtool", "test", "rules", "alerts_test.yml", directory=DEPLOY / "prometheus")
    tested = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    [rules] = objects((DEPLOY / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert f'alertname="{rule["alert"]}"' in tested, "an alert without a test"


def test_version_of_the_chart_is_that_of_the_image() -> None:
    [chart] = objects((CHART / "Chart.yaml").read_text())
    assert f'image.version="{chart["appVersion"]}"' in (DEPLOY / "Dockerfile").read_text()
    assert Settings.model_fields.keys() >= objects((CHART / "values.yaml").read_text())[0]["settings"].keys()
