"""Deployment: the Dockerfile, the compose file and the example configuration are correct."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.serve.settings import ServeSettings, load_serve_settings
from flows.settings import Settings
from flows.settings_reference import page, toml_file

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "docker-compose.yml"
SHARDS = ("shard-0", "shard-1", "shard-2")
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
EXAMPLE = ROOT / "deploy" / "freshrank.toml"
VARIABLES = {f"FRESHRANK_{name.upper()}" for name in Settings.model_fields} | {"FRESHRANK_CONFIG"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def services() -> dict[str, Any]:
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with the dev extra's check-jsonschema")
    services: dict[str, Any] = yaml.YAML(typ="safe").load(COMPOSE)["services"]
    return services


def lint(program: str, *arguments: str | Path) -> None:
    command = Path(sys.executable).parent / program
    if not command.exists():
        pytest.skip(f"{program} is not installed; it comes with the dev extra")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_example_and_page_are_made_from_the_descriptions_of_the_settings() -> None:
    command = "run python -m flows.settings_reference"
    assert EXAMPLE.read_text() == toml_file(), command
    assert (ROOT / "docs" / "settings.md").read_text() == page(), command


def test_the_example_has_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    monkeypatch.setattr(Settings, "file", EXAMPLE)
    assert Settings() == defaults
    named = re.findall(r"^(?:# )?(\w+) = ", EXAMPLE.read_text(), re.MULTILINE)
    assert list(dict.fromkeys(named)) == list(Settings.model_fields)
    without_default = {name for name in Settings.model_fields if getattr(defaults, name) is None}
    assert without_default == Settings.model_fields.keys() - tomllib.loads(EXAMPLE.read_text()).keys()


def test_services_have_pinned_images(services: dict[str, Any]) -> None:
    assert list(services) == ["kafka", "flow", *SHARDS, "serve", "redis", "replayer"]
    images = {name: service["image"] for name, service in services.items()}
    assert not [image for image in images.values() if image.endswith(":latest") or ":" not in image]
    assert images["flow"] == images["serve"] == images["replayer"] == f"freshrank:{PROJECT['version']}"
    assert f"<version>{images['kafka'].partition(':')[2]}</version>" in (ROOT / "tests/broker/pom.xml").read_text()


def test_the_job_knows_the_variables_of_its_service_and_finds_kafka(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHRANK_CONFIG", "none.toml")
    for name in ("flow", *SHARDS, "replayer"):
        variables = services[name]["environment"]
        given = {variable for variable in variables if variable.startswith("FRESHRANK_")}
        assert given <= VARIABLES
        for variable in given:
            monkeypatch.setenv(variable, variables[variable])
        settings = Settings()
        assert f"//{settings.bootstrap}" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        assert settings.input_topic == services["flow"]["environment"]["FRESHRANK_INPUT_TOPIC"]
    assert any(volume.endswith(f":{settings.recovery}") for volume in services["flow"]["volumes"])


def test_server_knows_its_variables_and_finds_kafka_and_the_job(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = services["serve"]["environment"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("${FRESHRANK_SERVE_STORE:-memory}", "memory"))
    job, settings = Settings(), load_serve_settings({})
    own = {f"FRESHRANK_SERVE_{name.upper()}" for name in ServeSettings.model_fields}
    assert {name for name in variables if name.startswith("FRESHRANK_SERVE_")} <= own
    assert job.output_topic == services["flow"]["environment"]["FRESHRANK_OUTPUT_TOPIC"]
    assert services["serve"]["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    assert settings.job_metrics == f"http://flow:{services['flow']['environment']['FRESHRANK_METRICS_PORT']}/metrics"


def test_shards_take_the_place_of_the_job(services: dict[str, Any]) -> None:
    job = services["flow"]
    shards = [services[name] for name in SHARDS]
    for index, shard in enumerate(shards):
        assert shard["profiles"] == ["shards"]
        assert shard["environment"] == {**job["environment"], "FRESHRANK_SHARD": f"{index}/{len(shards)}"}
        assert {name for name in job if shard.get(name) != job[name]} == {"environment", "ports"}
    assert int(services["replayer"]["environment"]["FRESHRANK_PARTITIONS"]) >= len(shards)
    assert len({port for service in [job, *shards] for port in service["ports"]}) == 1 + len(shards)


def test_metrics_can_be_scraped_from_this_machine_and_no_other(services: dict[str, Any]) -> None:
    flow = services["flow"]
    assert flow["environment"]["FRESHRANK_METRICS_HOST"] == "0.0.0.0"
    port = flow["environment"]["FRESHRANK_METRICS_PORT"]
    assert flow["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_services_have_no_more_rights_than_they_need(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service.get("read_only") or service in (services["kafka"], services["redis"])  # they write


def test_the_compose_file_follows_the_compose_specification() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_dockerfile_passes_its_linter() -> None:
    lint("hadolint", DOCKERFILE)


def test_the_image_is_built_on_one_exact_python_that_the_project_supports() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE))
    assert len(bases) == 1
    version = re.fullmatch(r"python:(3\.\d+\.\d+)-slim-bookworm", bases.pop())
    assert version is not None
    assert version[1] in SpecifierSet(PROJECT["requires-python"])


def test_the_image_says_its_version_and_what_it_runs() -> None:
    text = DOCKERFILE.read_text()
    assert f'image.version="{PROJECT["version"]}"' in text
    assert f'image.licenses="{PROJECT["license"]}"' in text
    assert 'ENTRYPOINT ["freshrank"]\nCMD ["run"]' in text


def test_dockerignore_allows_the_files_of_the_dockerfile() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert {f"!{name}" for names in copied for name in names.split()} == {each for each in ignored if each[:1] == "!"}


def test_every_dependency_is_pinned_to_a_version_that_the_project_allows() -> None:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {name.replace("_", "-").lower(): version for name, version in pins.items()}
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        assert pinned[wanted.name.replace("_", "-").lower()] in wanted.specifier


def test_the_page_on_deployment_names_real_settings_that_librdkafka_takes() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    assert set(re.findall(r"FRESHRANK_[A-Z_]+", page)) <= VARIABLES
    examples = re.findall(r"FRESHRANK_KAFKA='(.+?)'", page, re.DOTALL)
    assert examples
    for example in examples:
        kafka = {name: value for name, value in json.loads(example).items() if not name.endswith(".location")}
        Producer({**kafka, "bootstrap.servers": "127.0.0.1:1", "sasl.password": "x", "log_level": 0})
