"""What the pods of the manifests run, as processes on this machine: the commands, variables and settings are theirs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.support.kafka_fixtures import AnyBroker, until
from tests.support.kafka_jobs import ROOT, consume
from tests.support.shard_jobs import ShardedJob, end_all

pytestmark = pytest.mark.kafka

TOKEN = "read-0123456789abcdef-0123456789abcdef"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


class Pods:
    """Starts the containers of the manifests, with paths, ports and topics of this machine."""

    def __init__(self, job: ShardedJob, tmp_path: Path) -> None:
        yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with the dev extra")
        text = (ROOT / "deploy" / "kubernetes" / "manifests.yaml").read_text()
        self.objects = [each for each in yaml.YAML(typ="safe", pure=True).load_all(text) if each]
        self.folder = tmp_path
        self.tokens = tmp_path / "tokens"
        self.tokens.write_text(f"read {TOKEN}\n")
        self.job = job
        self.processes: list[subprocess.Popen[bytes]] = []

    def of_kind(self, kind: str, name: str) -> dict[str, Any]:
        [one] = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return one

    def start(self, kind: str, name: str, **changed: Any) -> subprocess.Popen[bytes]:
        pod = self.of_kind(kind, name)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        [mounted] = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
        settings = self.folder / f"{mounted}.toml"
        settings.write_text(self.of_kind("ConfigMap", mounted)["data"]["freshrank.toml"])
        given = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("FRESHRANK_")}
        here = {"REPLICATION": 1, "METRICS_HOST": "127.0.0.1", **self.job.variables, **changed}
        variables = {**given, **{f"FRESHRANK_{key}": str(value) for key, value in here.items()}}
        environment = {**os.environ, **variables, "FRESHRANK_CONFIG": str(settings)}
        command = [sys.executable, "-m", "flows.cli", *container["args"]]
        self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        return self.processes[-1]


@pytest.fixture
def pods(new_shards: Callable[..., ShardedJob], tmp_path: Path) -> Iterator[Pods]:
    started = Pods(new_shards(), tmp_path)
    yield started
    end_all(started.processes)


def test_pods_make_the_topics_learn_and_serve(pods: Pods, broker: AnyBroker) -> None:
    job = pods.job
    replicas = pods.of_kind("StatefulSet", "freshrank")["spec"]["replicas"]
    assert pods.start("Job", "freshrank-topics").wait(300) == 0
    ports = [free_port() for _ in range(replicas)]
    for index, port in enumerate(ports):
        pods.start("StatefulSet", "freshrank", SHARD=f"{index}/{replicas}", METRICS_PORT=port)
    until(lambda: all(is_ready(f"http://127.0.0.1:{port}/healthz/ready") for port in ports))
    job.feed(400)
    until(lambda: job.committed() == job.ends)
    lists = {message.key() or b"": orjson.loads(message.value() or b"") for message in consume(broker, job.lists)}
    assert lists.keys() == {user.encode() for user, *_ in job.rows}
    port = free_port()
    server = {"SERVE_HOST": "127.0.0.1", "SERVE_PORT": port, "SERVE_TOKENS": pods.tokens}
    pods.start("Deployment", "freshrank-serve", **server)
    until(lambda: is_ready(f"http://127.0.0.1:{port}/healthz"))
    user = job.rows[-1][0]
    answer = httpx.get(f"http://127.0.0.1:{port}/v1/users/{user}/list", headers={"Authorization": f"Bearer {TOKEN}"})
    assert [each["item"] for each in answer.json()["items"]] == [each["item"] for each in lists[user.encode()]["items"]]
