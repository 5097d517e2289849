"""Passwords, certificates and rights on a real broker: valid ones work, and errors name invalid ones."""

import base64
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types forget to re-export these
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from flows.job.preflight import inspect_job
from flows.kafka.errors import Config, KafkaJobError
from flows.kafka.probe import probe
from flows.kafka.sink import KafkaSink
from flows.kafka.source import KafkaSource
from flows.kafka.token_command import TokenCommand
from flows.messages import Outgoing
from flows.settings import Settings
from tests.support.kafka_broker import GUEST, PASSWORD, USER, Broker, make_certificate
from tests.support.kafka_fixtures import AnyBroker, NewTopic, config, fill, run, until, write
from tests.support.kafka_jobs import Job

pytestmark = pytest.mark.kafka

WRONG = "battery-staple"
SCRAM = "SCRAM-SHA-512"


@pytest.fixture
def own(broker: AnyBroker) -> Broker:
    """The session's broker, whose listeners and rights are known."""
    if not isinstance(broker, Broker):
        pytest.skip("of the given broker only the open listener is known")
    return broker


def login(password: str, user: str = USER, mechanism: str = "PLAIN") -> dict[str, str]:
    return {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}


def plain(own: Broker, password: str, user: str = USER, mechanism: str = "PLAIN") -> Config:
    return {
        **config(own.sasl_bootstrap, group_id=f"group-{uuid4().hex}"),
        "security.protocol": "SASL_PLAINTEXT",
        **login(password, user, mechanism),
    }


def tls(own: Broker, authority: Path) -> Config:
    return {**config(own.tls_bootstrap), "security.protocol": "SSL", "ssl.ca.location": str(authority)}


def mutual_tls(own: Broker, key: Path) -> Config:
    certificate = {"ssl.keystore.location": str(key), "ssl.keystore.password": PASSWORD}
    return {**tls(own, own.certificate), "bootstrap.servers": own.mutual_tls_bootstrap, **certificate}


def sasl_tls(own: Broker, password: str) -> Config:
    secured = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(own.certificate)}
    return {**config(own.sasl_tls_bootstrap), **secured, **login(password)}


def scram(own: Broker, password: str) -> Config:
    """Settings of an account that is made here, with `PASSWORD`."""
    admin = AdminClient({"bootstrap.servers": own.bootstrap})
    kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = UserScramCredentialUpsertion(USER, kind, PASSWORD.encode())
    for done in admin.alter_user_scram_credentials([made]).values():
        done.result(120)
    return plain(own, password, mechanism=SCRAM)


WAYS: dict[str, Callable[[Broker, str], Config]] = {"plain": plain, "tls and plain": sasl_tls, "scram": scram}


def token(own: Broker, user: str = USER) -> Config:
    """Settings of a client whose command prints a token that is not signed, as this test broker takes them."""
    claims = {"sub": user, "iat": int(time.time()), "exp": int(time.time()) + 600}
    parts = [base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in ({"alg": "none"}, claims)]
    table = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}
    settings = Settings(bootstrap=own.sasl_bootstrap, kafka=table, kafka_token_command=f"echo {'.'.join([*parts, ''])}")
    return {**settings.client(), **config(own.sasl_bootstrap, group_id=f"group-{uuid4().hex}")}


OTHERS = {
    "token": token,
    "tls": lambda own: tls(own, own.certificate),
    "mutual tls": lambda own: mutual_tls(own, own.client_key),
}


@pytest.mark.parametrize("way", [*WAYS, *OTHERS])
def test_valid_credentials_reach_source_and_sink(own: Broker, new_topic: NewTopic, way: str) -> None:
    secured = OTHERS[way](own) if way in OTHERS else WAYS[way](own, PASSWORD)
    topic = new_topic()
    until(lambda: probe(secured, {"input_topic": topic}) == [])
    write(KafkaSink(secured, topic), [Outgoing(b"u1", b"list")])
    assert [raw.value for raw in run(KafkaSource(secured, topic, stop_at_end=True))] == [b"list"]


def told(refused: Config, *expected: str) -> str:
    """Wait for a fault that has one of some texts, and return it. A busy broker may refuse later than a probe ends."""
    said: list[str] = []

    def is_told() -> bool:
        said[:] = probe(refused, {}, timeout=3.0)
        return any(text in said[0] for text in expected)

    until(is_told)
    assert len(said) == 1
    return said[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_password_is_refused_and_kept_secret(own: Broker, way: str) -> None:
    [said] = probe(WAYS[way](own, WRONG), {})
    assert "`sasl.password`" in said
    assert WRONG not in said


def test_a_token_of_nobody_the_broker_knows_and_a_command_that_fails_are_named(own: Broker) -> None:
    stranger = token(own, "mallory")
    assert "or this user may not" in probe(stranger, {"input_topic": "events"}, timeout=120.0)[0]
    [said] = probe({**stranger, "oauth_cb": TokenCommand("false")}, {}, timeout=2.0)
    assert "kafka_token_command" in said


def test_the_job_names_a_wrong_password_and_keeps_it_secret(own: Broker, new_job: Callable[..., Job]) -> None:
    table = '{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "alice"}'
    process = new_job(BOOTSTRAP=own.sasl_bootstrap, KAFKA=table, KAFKA_PASSWORD=WRONG).start()
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 2
    assert "`kafka_password`" in said
    assert WRONG not in said


def test_a_certificate_of_another_authority_is_refused(own: Broker, tmp_path: Path) -> None:
    _, stranger = make_certificate(tmp_path)
    told(tls(own, stranger), "`ssl.ca.location`")


def test_a_client_without_the_right_certificate_is_refused(own: Broker, tmp_path: Path) -> None:
    stranger, _ = make_certificate(tmp_path, "stranger")
    for refused in (
        mutual_tls(own, stranger),
        {**tls(own, own.certificate), "bootstrap.servers": own.mutual_tls_bootstrap},
    ):
        assert PASSWORD not in told(refused, "`ssl.*` settings", "`security.protocol`")


@pytest.mark.parametrize(("speaks", "listens"), [("PLAINTEXT", "tls"), ("SSL", "plain"), ("PLAINTEXT", "sasl")])
def test_another_protocol_than_the_brokers_is_named(own: Broker, speaks: str, listens: str) -> None:
    address = {"tls": own.tls_bootstrap, "plain": own.bootstrap, "sasl": own.sasl_bootstrap}[listens]
    told({**config(address), "security.protocol": speaks}, "`security.protocol`")


def allow(own: Broker, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """Give `GUEST` rights."""
    admin = AdminClient({"bootstrap.servers": own.bootstrap})
    who, everywhere = f"User:{GUEST}", "*"
    for operation in operations:
        right = AclBinding(kind, name, ResourcePatternType.LITERAL, who, everywhere, operation, AclPermissionType.ALLOW)
        admin.create_acls([right])[right].result(20)


@pytest.fixture
def guest(own: Broker) -> Config:
    return plain(own, PASSWORD, GUEST)


def test_a_guest_with_all_rights_reads_and_writes(own: Broker, guest: Config, new_topic: NewTopic) -> None:
    topic = new_topic()
    allow(own, ResourceType.TOPIC, topic, AclOperation.READ, AclOperation.WRITE)
    allow(own, ResourceType.GROUP, str(guest["group.id"]), AclOperation.READ)
    until(lambda: probe(guest, {"input_topic": topic}) == [])
    write(KafkaSink(guest, topic), [Outgoing(b"u1", b"list")])
    assert [raw.value for raw in run(KafkaSource(guest, topic, stop_at_end=True))] == [b"list"]


def test_a_topic_that_may_not_be_seen_is_named(guest: Config, new_topic: NewTopic) -> None:
    topic = new_topic()
    [said] = probe(guest, {"input_topic": topic})
    assert f"{topic!r} is not on the brokers" in said
    assert "or this user may not see it" in said


def test_a_topic_that_may_not_be_read_stops_the_source(own: Broker, guest: Config, new_topic: NewTopic) -> None:
    topic = new_topic()
    fill(own.bootstrap, topic, 1)
    allow(own, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    allow(own, ResourceType.GROUP, str(guest["group.id"]), AclOperation.READ)
    until(lambda: probe(guest, {"input_topic": topic}) == [])
    with pytest.raises(KafkaJobError, match=rf"{topic}.*authoriz.*Give this user the right"):
        run(KafkaSource(guest, topic, stop_at_end=True))


def test_a_group_that_may_not_be_used_stops_the_source(own: Broker, guest: Config, new_topic: NewTopic) -> None:
    topic = new_topic()
    allow(own, ResourceType.TOPIC, topic, AclOperation.READ)
    until(lambda: probe(guest, {"input_topic": topic}) == [])
    with pytest.raises(KafkaJobError, match=r"[Gg]roup authoriz.*another `group`"):
        run(KafkaSource(guest, topic, stop_at_end=True))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_topic_that_may_not_be_written_stops_the_sink(
    own: Broker, guest: Config, new_topic: NewTopic, elsewhere: bool
) -> None:
    topic, other = new_topic(), new_topic()
    allow(own, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    if elsewhere:  # whoever may write no topic at all is refused in another way
        allow(own, ResourceType.TOPIC, other, AclOperation.WRITE)
        until(lambda: probe(guest, {"input_topic": other}) == [])
    until(lambda: probe(guest, {"input_topic": topic}) == [])
    with pytest.raises(KafkaJobError, match=r"authoriz.*Give this user the right"):
        write(KafkaSink(guest, topic), [Outgoing(b"u1", b"list")])


def settings_of(guest: Config, topics: dict[str, str]) -> Settings:
    table = {name: str(value) for name, value in guest.items() if name.startswith(("sasl.", "security."))}
    return Settings(
        bootstrap=str(guest["bootstrap.servers"]),
        kafka=table,
        group=str(guest["group.id"]),
        **topics,
        create_topics=False,
    )


def test_check_names_each_right_that_is_missing(own: Broker, guest: Config, new_topic: NewTopic) -> None:
    topics = {name: new_topic() for name in ("input_topic", "output_topic", "dead_letter_topic")}
    settings = settings_of(guest, topics)
    for topic in topics.values():
        allow(own, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    until(lambda: probe(guest, topics) == [])
    found = inspect_job(settings).faults
    wanted = [("Read", "input_topic"), ("Write", "output_topic"), ("Write", "dead_letter_topic"), ("Read", "group")]
    assert len(found) == len(wanted)
    for said, (right, setting) in zip(found, wanted, strict=True):
        assert f"may not do {right} on" in said
        assert f"`{setting}`" in said
    allow(own, ResourceType.TOPIC, topics["input_topic"], AclOperation.READ)
    allow(own, ResourceType.TOPIC, topics["output_topic"], AclOperation.WRITE)
    allow(own, ResourceType.TOPIC, topics["dead_letter_topic"], AclOperation.ALL)
    allow(own, ResourceType.GROUP, settings.group, AclOperation.READ)
    until(lambda: inspect_job(settings).faults == [])


def test_brokers_that_keep_no_rights_grant_everything(own: Broker, new_topic: NewTopic) -> None:
    topic = new_topic()
    settings = Settings(bootstrap=own.bootstrap, input_topic=topic, output_topic="not-there-yet", group="anybody")
    assert inspect_job(settings).faults == []
