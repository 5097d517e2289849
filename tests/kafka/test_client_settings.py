"""Settings of the Kafka client: conflicts are named before any broker is asked."""

import base64
import time
from pathlib import Path

import orjson
import pytest

from flows.kafka.client_settings import RESERVED, conflicts
from flows.kafka.probe import client_faults
from flows.kafka.token_command import TokenCommand, TokenError
from flows.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_setting_that_the_job_sets_itself_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"setting kafka: the job sets `{name}` itself: .*") as error:
        load_settings(kafka={name: "x"})
    assert "set `" in str(error.value) or "Leave it out" in str(error.value)


def test_numbers_and_booleans_reach_the_client_in_its_own_form(tmp_path: Path) -> None:
    file = tmp_path / "freshrank.toml"
    file.write_text('[kafka]\n"socket.keepalive.enable" = true\n"fetch.wait.max.ms" = 50\n"linger.ms" = 0.5\n')
    client = load_settings(file).client()
    assert client["socket.keepalive.enable"] == "true"
    assert client["fetch.wait.max.ms"] == "50"
    assert client["linger.ms"] == "0.5"
    assert client_faults({**client, "bootstrap.servers": "127.0.0.1:1"}) == []


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"sasl.username": "me"}, "`sasl.username` has no effect while `security.protocol` is plaintext"),
        ({"ssl.ca.location": "/ca.pem"}, "`ssl.ca.location` has no effect while `security.protocol` is plaintext"),
        ({"security.protocol": "ssl", "sasl.mechanism": "PLAIN"}, "to SASL_SSL or SASL_PLAINTEXT"),
        ({"security.protocol": "SASL_SSL", "sasl.username": "me"}, "`sasl.username` needs a mechanism"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "nothing gives a token"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "oauth_cb": print}, "`kafka_token_command`"),
    ],
)
def test_settings_that_cannot_work_together_are_named(table: dict[str, object], told: str) -> None:
    [said] = conflicts(table)
    assert told in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"security.protocol": "SSL", "ssl.ca.location": "/ca.pem"},
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "me", "ssl.ca.location": "/ca"},
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": print},
        {"security.protocol": "SASL_SSL", "sasl.mechanisms": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc"},
    ],
)
def test_settings_that_work_together_are_no_fault(table: dict[str, object]) -> None:
    assert conflicts(table) == []


@pytest.mark.parametrize(
    "table", [{"acks": "1"}, {"fetch.wait.max.ms": "soon"}, {"no.such.setting": "1"}, {"linger.ms": "-7"}]
)
def test_settings_refused_by_librdkafka_are_reported_before_the_start(table: dict[str, str]) -> None:
    [said] = client_faults({**table, "bootstrap.servers": "127.0.0.1:1"})
    assert "making a client" in said
    assert "`kafka` table" in said


def test_two_passwords_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected one Kafka password") as error:
        load_settings(kafka={"sasl.password": "hunter2"}, kafka_password="hunter3")
    assert "hunter" not in str(error.value)


def jwt(**claims: float) -> str:
    parts = [base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in ({"alg": "none"}, claims)]
    return ".".join([*parts, ""])


def test_a_token_command_prints_a_token_or_what_a_token_endpoint_answers(tmp_path: Path) -> None:
    file, expiry = tmp_path / "token", round(time.time()) + 90
    command = TokenCommand(f"cat {file}")
    file.write_text(jwt(exp=expiry) + "\n")
    assert command("") == (jwt(exp=expiry), expiry)
    file.write_bytes(orjson.dumps({"access_token": "opaque", "expires_in": 60}))
    token, until = command("")
    assert token == "opaque"
    assert expiry - 60 < until < expiry


@pytest.mark.parametrize("command", ["", "false", "no-such-program-here", "echo", "echo not a token", "echo {}"])
def test_a_command_that_gives_no_token_is_named(command: str) -> None:
    with pytest.raises(TokenError, match=r"kafka_token_command: expected .* to print a token; "):
        TokenCommand(command)("")


def test_the_token_command_of_the_settings_becomes_the_clients_callback() -> None:
    client = Settings(kafka_token_command="echo abc").client()
    assert client["oauth_cb"]("")[0] == "abc"
