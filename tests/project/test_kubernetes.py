"""The chart and the manifests for Kubernetes, and the alerts."""

import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.job.stored_shard import read_shard
from flows.serve.settings import load_serve_settings
from flows.settings import Settings, load_settings
from recmodels.fused.model import FusedModel
from tests.support.shard_topic import Process
from tests.support.stored_shards import MODEL, SETTINGS, model_of, write

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "kubernetes" / "chart"
MANIFESTS = DEPLOY / "kubernetes" / "manifests.yaml"
RESCALE = DEPLOY / "kubernetes" / "rescale.yaml"
"""The job that deals users out, from two shards to three."""
SNAPSHOTS = DEPLOY / "kubernetes" / "delta-snapshots.yaml"
"""The claim of the volume that all shards mount."""
VARIANTS = {
    "defaults": (),
    "one": ("shards=1", "serve.replicas=0", "networkPolicy.enabled=false", "topicsJob.enabled=false"),
    "rescale": ("shards=3", "stateDirectory=three", "rescale.from=2"),
    "rescale of one": ("shards=2", "stateDirectory=two", "rescale.from=1", "storage.className=fast"),
    "rescale to fewer": ("shards=2", "stateDirectory=two", "rescale.from=4", "rescale.fromDirectory=four"),
    "snapshots": ("deltaSnapshots.enabled=true", "deltaSnapshots.className=nfs", "deltaSnapshots.size=5Gi"),
    "snapshots on a claim": ("deltaSnapshots.enabled=true", "deltaSnapshots.existingClaim=shared"),
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
PLAIN = ("--show-only", "templates/rescale.yaml")
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
"""Kinds that Kubernetes does not have by itself."""


def run(*command: str, directory: Path = ROOT) -> str:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run([program, *command[1:]], check=False, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def render(variant: str, *more: str) -> str:
    changed = itertools.chain.from_iterable(("--set", value) for value in VARIANTS[variant])
    return run("helm", "template", "freshrank", "deploy/kubernetes/chart", "--kube-version", "1.31", *changed, *more)


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


@pytest.mark.parametrize("file", [MANIFESTS, RESCALE, SNAPSHOTS], ids=lambda file: file.stem)
def test_manifests_are_valid_and_confined(file: Path) -> None:
    found = objects(file.read_text())
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


def test_manifest_of_the_rescale_is_the_chart_with_three_shards_instead_of_two() -> None:
    assert RESCALE.read_text().splitlines()[4:] == render("rescale", *PLAIN).splitlines()


def test_a_rescale_brings_the_disks_that_are_missing_and_mounts_all() -> None:
    for variant, new, disks in (("rescale", 1, 3), ("rescale of one", 1, 2), ("rescale to fewer", 0, 4)):
        found = objects(render(variant))
        claims = [each["metadata"]["name"] for each in found if each["kind"] == "PersistentVolumeClaim"]
        assert claims == [f"state-freshrank-{index}" for index in range(disks - new, disks)]
        [pod] = [pod for pod in pods(found) if pod["containers"][0]["name"] == "rescale"]
        named = [
            each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each
        ]
        assert named == [f"state-freshrank-{index}" for index in range(disks)]
        settings = tomllib.loads(of_kind(found, "ConfigMap")["data"]["freshrank.toml"])
        variables = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert settings["recovery"] == f"/var/lib/freshrank/{variables['TO_DIRECTORY']}"
    assert "rescale" not in render("defaults")


def test_manifest_of_the_shared_volume_is_that_of_the_chart() -> None:
    shown = render("defaults", "--set", "deltaSnapshots.enabled=true", "--show-only", "templates/snapshots.yaml")
    text = SNAPSHOTS.read_text()
    assert text[text.index("---") :].splitlines() == shown.splitlines()


def test_all_shards_mount_one_volume_for_their_snapshots_where_it_is_wanted(tmp_path: Path) -> None:
    assert "delta-snapshots" not in render("defaults")
    assert "delta_snapshots" not in render("defaults")
    for variant, claim in (("snapshots", "freshrank-delta-snapshots"), ("snapshots on a claim", "shared")):
        found = objects(render(variant))
        claims = [each for each in found if each["kind"] == "PersistentVolumeClaim"]
        assert [each["metadata"]["name"] for each in claims] == ([claim] if variant == "snapshots" else [])
        for each in claims:
            assert each["spec"]["accessModes"] == ["ReadWriteMany"]
            assert each["spec"]["storageClassName"] == "nfs"
            assert each["spec"]["resources"]["requests"]["storage"] == "5Gi"
        pod = of_kind(found, "StatefulSet")["spec"]["template"]["spec"]
        [volume] = [each for each in pod["volumes"] if "persistentVolumeClaim" in each]
        assert volume["persistentVolumeClaim"]["claimName"] == claim
        [mount] = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
        file = tmp_path / "freshrank.toml"
        file.write_text(of_kind(found, "ConfigMap")["data"]["freshrank.toml"])
        assert load_settings(file).delta_snapshots == Path(mount["mountPath"])
        state = load_settings(file).recovery
        assert state is not None
        assert not Path(mount["mountPath"]).is_relative_to(state)


@pytest.mark.parametrize(
    ("changed", "said"),
    [("shards=1", "expected shards of 2 or more"), ("settings.delta_snapshots=/x", "expected settings without")],
)
def test_a_shared_volume_that_cannot_be_is_refused(changed: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        render("snapshots", "--set", changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("shards=1", "expected shards of 2 or more"),
        ("stateDirectory=", "one name"),
        ("stateDirectory=../x", "one name"),
        ("rescale.fromDirectory=three", "expected a new stateDirectory"),
    ],
)
def test_a_rescale_that_cannot_be_is_refused(changed: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        render("rescale", "--set", changed)


@pytest.mark.process
def test_the_job_deals_users_out_starts_over_when_killed_and_is_done_once(tmp_path: Path) -> None:
    _, processes = write(tmp_path / "state", 2)
    (tmp_path / "disks").mkdir()
    for index in range(3):
        (tmp_path / "disks" / str(index)).mkdir()
    for index in range(2):
        (tmp_path / "state" / f"shard-{index}").rename(tmp_path / "disks" / str(index) / f"shard-{index}")
    [pod] = pods(objects(RESCALE.read_text()))
    [container] = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    variables |= {"DISKS": str(tmp_path / "disks"), "SCRATCH": str(tmp_path / "scratch")}
    variables |= {"FRESHRANK_MODEL": MODEL, "FRESHRANK_REPEATS": "exclude", "FRESHRANK_MAX_USERS": "100"}
    variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables.pop("NUMBA_CACHE_DIR")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "disks" / "1" / "three" / "shard-1").mkdir(parents=True)  # of a job that was killed
    environment = {**os.environ, **variables}

    def deal() -> str:
        done = subprocess.run(container["command"], check=False, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "in 3 shards" in deal()
    new = [tmp_path / "disks" / str(index) / "three" / f"shard-{index}" for index in range(3)]
    users = [set(model_of(read_shard(each, SETTINGS)).memory.users.rows) for each in new]
    assert set.union(*users) == {user for each in processes for user in model_of_process(each).memory.users.rows}
    assert sum(map(len, users)) == len(set.union(*users))
    for index, each in enumerate(users):
        assert {int(user.removeprefix("u").partition(".")[0]) % 3 for user in each} == {index}
    assert deal() == ""


def model_of_process(process: Process) -> FusedModel:
    model = process.learner.model
    assert isinstance(model, FusedModel)
    return model


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
