"""Settings of librdkafka: those that the job reserves for itself, and combinations that conflict."""

from collections.abc import Mapping
from typing import Any, Final

_COMMITS: Final = "the job commits its own offsets, after each snapshot. Leave it out."
_CALLBACK: Final = "it is a callback, which a table cannot hold. Leave it out."

RESERVED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "set `bootstrap` instead.",
    "metadata.broker.list": "set `bootstrap` instead.",
    "group.id": "set `group` instead.",
    "group.instance.id": "the job assigns partitions itself. Leave it out.",
    "group.protocol": "the job assigns partitions itself. Leave it out.",
    "partition.assignment.strategy": "the job assigns partitions itself. Leave it out.",
    "auto.offset.reset": "set `start` instead, to earliest or latest.",
    "enable.auto.commit": _COMMITS,
    "auto.commit.enable": _COMMITS,
    "auto.commit.interval.ms": _COMMITS,
    "enable.auto.offset.store": _COMMITS,
    "enable.partition.eof": "the job needs it to measure its lag. Leave it out.",
    "transactional.id": "the job writes at least once, without transactions. Leave it out.",
    **dict.fromkeys(
        ("error_cb", "log_cb", "stats_cb", "throttle_cb", "oauth_cb", "on_commit", "on_delivery", "logger"), _CALLBACK
    ),
}
"""Settings that the job sets itself, by name, each with the advice for a user who wants to set it."""

OAUTH_WAY_OUT: Final = (
    'Set `kafka_token_command` to a command that prints a token, or "sasl.oauthbearer.method" = "oidc" with'
    ' "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.client.id" and "sasl.oauthbearer.client.secret" in the'
    " `kafka` table."
)


def as_text(value: str | float | bool) -> str:
    """Return a setting in librdkafka's form.

    >>> as_text(True), as_text(250), as_text(0.5), as_text("all")
    ('true', '250', '0.5', 'all')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def conflicts(config: Mapping[str, Any]) -> list[str]:
    """Say which settings conflict. `flows.kafka.probe` runs librdkafka's own checks.

    Args:
        config: librdkafka settings of the job.

    Returns:
        One line for each fault, with what to change.
    """
    given = {name: str(value) for name, value in config.items()}
    protocol = given.get("security.protocol", "plaintext").upper()
    mechanism = given.get("sasl.mechanism") or given.get("sasl.mechanisms") or ""
    faults = []
    for prefix, needed in (("sasl.", "SASL"), ("ssl.", "SSL")):
        idle = sorted(name for name in given if name.startswith(prefix))
        if idle and needed not in protocol:
            faults.append(
                f"`{idle[0]}` has no effect while `security.protocol` is {protocol.lower()}. Set `security.protocol` in"
                f" the `kafka` table to {_PROTOCOLS[needed]}, or leave out {_listed(idle)}."
            )
    if faults or "SASL" not in protocol:
        return faults
    if not mechanism and "sasl.username" in given:
        return ['`sasl.username` needs a mechanism. Set "sasl.mechanism" in the `kafka` table: PLAIN, SCRAM-SHA-512.']
    is_oauth = mechanism.upper() == "OAUTHBEARER"
    if is_oauth and not _has_token_source(given):
        return [f"`sasl.mechanism` is OAUTHBEARER, but nothing gives a token. {OAUTH_WAY_OUT}"]
    if not is_oauth and "oauth_cb" in given:
        return [
            f"`kafka_token_command` has no effect while `sasl.mechanism` is {mechanism or 'not set'}. Set it to"
            " OAUTHBEARER in the `kafka` table, or leave out `kafka_token_command`."
        ]
    return []


_PROTOCOLS: Final = {"SASL": "SASL_SSL or SASL_PLAINTEXT", "SSL": "SSL or SASL_SSL"}


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _has_token_source(given: Mapping[str, str]) -> bool:
    is_oidc = given.get("sasl.oauthbearer.method", "").lower() == "oidc"
    is_unsigned = given.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true"
    return is_oidc or is_unsigned or "oauth_cb" in given
