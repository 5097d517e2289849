"""A real Apache Kafka broker for tests: one Java process on 127.0.0.1 that a test can end and start again.

It has a listener of every kind: open, with a password, with TLS, with both, and with certificates on both sides. The
jars come from Maven once (`tests/broker/pom.xml`) and are kept in the project's `.cache`. So are the keys and an empty
log that each broker begins with: to make them takes five Java processes.
"""

import fcntl
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # forgotten re-export

PROJECT = Path(__file__).resolve().parent.parent.parent
POM = PROJECT / "tests" / "broker" / "pom.xml"

USER, GUEST = "alice", "bob"
PASSWORD = "correct-horse"
"""The accounts of the SASL listeners. `GUEST` has no rights but those that a test gives it."""

CLUSTER_ID = "ZnJlc2hyYW5rLXRlc3RzMQ"
"""Any 16 bytes in URL-safe base64 would do."""

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},SSL://127.0.0.1:{tls},\
SASL_SSL://127.0.0.1:{sasl_tls},MUTUAL://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,\
MUTUAL:SSL,CONTROLLER:PLAINTEXT
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_plaintext.plain.sasl.jaas.config={plain_login}
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={plain_login}
ssl.keystore.location={keystore}
ssl.keystore.password={password}
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.truststore.location={truststore}
listener.name.mutual.ssl.truststore.type=PEM
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=client
log.dirs={logs}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.backoff.ms=500
"""


class NoBrokerError(Exception):
    """No broker can be had on this machine, or it did not start. The message says why."""


class Broker:
    """One single-node Kafka broker with a directory and ports of its own.

    Args:
        directory: Where its configuration, log segments and output are kept. It is made if it is missing.

    Raises:
        NoBrokerError: Java or Maven is missing, or Maven cannot fetch the jars.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "broker.out"
        self._properties = directory / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        plain, sasl, tls, sasl_tls, mutual, controller = _free_ports(6)
        self.bootstrap = f"127.0.0.1:{plain}"
        """Address of the open listener."""
        self.sasl_bootstrap = f"127.0.0.1:{sasl}"
        """Address of the listener with SASL_PLAINTEXT. It accepts `USER` or `GUEST` with `PASSWORD` (PLAIN or SCRAM),
        or an unsigned token that names one of them (OAUTHBEARER)."""
        self.tls_bootstrap = f"127.0.0.1:{tls}"
        """Address of the listener with TLS (SSL)."""
        self.sasl_tls_bootstrap = f"127.0.0.1:{sasl_tls}"
        """Address of the listener with both (SASL_SSL, PLAIN)."""
        self.mutual_tls_bootstrap = f"127.0.0.1:{mutual}"
        """Address of the listener with TLS that asks the client for `client_key`, too (SSL)."""
        shutil.copytree(_first_files(), directory, dirs_exist_ok=True)
        self.client_key = directory / "client.p12"
        """The key by which the broker knows a client, a PKCS#12 file with `PASSWORD`."""
        self.certificate = directory / "broker.pem"
        """The certificate by which a client knows the broker, a PEM file."""
        ports = {"plain": plain, "sasl": sasl, "tls": tls, "sasl_tls": sasl_tls, "mutual": mutual}
        self._properties.write_text(_properties(directory, **ports, controller=controller))

    def start(self, timeout: float = 180.0) -> None:
        """Start it, or start it again on the same data and ports, and wait until it answers."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*_java(), "kafka.Kafka", str(self._properties)], stdout=output, stderr=output
            )
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if admin.list_topics(timeout=1.0).brokers:
                    return
            except KafkaException:
                continue
        self.kill()
        raise NoBrokerError(f"the broker did not answer within {timeout:.0f} s; it said:\n{self.tail()}")

    def stop(self, timeout: float = 30.0) -> None:
        """Ask it to shut down in order. Kill it if it does not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def freeze(self) -> None:
        """Let it answer nothing more, with its connections open: what a machine that hangs looks like."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def tail(self, lines: int = 40) -> str:
        """The last lines of what it printed."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _properties(directory: Path, **ports: int) -> str:
    """Return the settings of a broker with its files in a directory."""
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return PROPERTIES.format(
        **ports,
        user=USER,
        password=PASSWORD,
        plain_login=f'{login} user_{USER}="{PASSWORD}" user_{GUEST}="{PASSWORD}";',
        keystore=directory / "broker.p12",
        truststore=directory / "client.pem",
        logs=directory / "segments",
    )


def _java() -> list[str]:
    memory = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # a broker lives for seconds
    return ["java", *memory, "-Dlog4j2.level=WARN", "-cp", f"{kafka_jars()}/*"]


def _first_files() -> Path:
    """Return a directory with the keys of a broker and of a client, their certificates and a formatted log."""

    def make(directory: Path) -> None:
        directory.mkdir()
        for name in ("broker", "client"):
            make_certificate(directory, name)
        names = ("plain", "sasl", "tls", "sasl_tls", "mutual", "controller")
        properties = directory / "server.properties"
        properties.write_text(_properties(directory, **dict(zip(names, _free_ports(6), strict=True))))
        command = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
        done = subprocess.run([*_java(), *command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoBrokerError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    return _made_once("kafka-first-files", POM.read_bytes() + Path(__file__).read_bytes(), make)


def make_certificate(directory: Path, name: str = "broker") -> tuple[Path, Path]:
    """Make a key for 127.0.0.1 and a certificate that it has signed itself. Return the key store and the PEM file."""
    store, pem = directory / f"{name}.p12", directory / f"{name}.pem"
    shared = ["-keystore", str(store), "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", name]
    key = [
        "-validity",
        "36500",
        "-keyalg",
        "EC",
        "-groupname",
        "secp256r1",
        "-dname",
        f"CN={name}",
        "-ext",
        "san=ip:127.0.0.1",
    ]
    for command in (["-genkeypair", *key], ["-exportcert", "-rfc", "-file", str(pem)]):
        done = subprocess.run(["keytool", *command, *shared], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoBrokerError(f"keytool {command[0]} failed:\n{done.stdout}{done.stderr}")
    return store, pem


def kafka_jars() -> Path:
    """Return the directory with the broker's jars; Maven fills it the first time.

    Raises:
        NoBrokerError: Java or Maven is missing, or Maven fails.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise NoBrokerError(f"`{program}` is not on the PATH; a test broker needs Java 17 and Maven")

    def fetch(directory: Path) -> None:
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={directory}"]
        command = ["mvn", "-q", "-B", "-f", str(POM), *goal]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise NoBrokerError(f"Maven could not fetch the broker's jars:\n{done.stdout}{done.stderr}")

    return _made_once("kafka-jars", POM.read_bytes(), fetch)


def _made_once(name: str, of: bytes, make: Callable[[Path], object]) -> Path:
    """Return a directory in `.cache`, and make it where it is missing: whole or not at all.

    Args:
        name: How its name begins. A digest follows, so that other content means another directory.
        of: What the content depends on.
        make: Creates the directory at a path and fills it.
    """
    made = PROJECT / ".cache" / f"{name}-{sha256(of).hexdigest()[:12]}"
    made.parent.mkdir(exist_ok=True)
    with made.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may ask at once
        if not made.exists():
            partial = made.with_name(f"{made.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(made)
    return made


def make_topic(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    """Create a topic and wait until it can be written to; `retention_ms="1"` sets `retention.ms`."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    settings = {name.replace("_", "."): value for name, value in config.items()}
    admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(timeout=120)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = admin.list_topics(topic, timeout=5).topics[topic].partitions
        if len(found) == partitions and all(p.leader >= 0 for p in found.values()):
            return
    raise TimeoutError(f"topic {topic} did not appear within 120 s")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
