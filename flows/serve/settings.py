"""Settings of `freshrank serve`: the table `[serve]`, or variables `FRESHRANK_SERVE_*`."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError
from typing_extensions import override

from flows.errors import UsageError


class ServeSettings(BaseSettings):
    """All that can be set of the HTTP server. Kafka's own settings are those of the job."""

    model_config = SettingsConfigDict(env_prefix="FRESHRANK_SERVE_", extra="forbid")
    table: ClassVar[dict[str, Any]] = {}
    """The table `[serve]` of the settings file, while it is read."""

    host: str = "127.0.0.1"
    """Address to listen on. Another than this machine's own needs `tokens`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Port to listen on. 0: any free one."""
    store: str = ""
    """Where lists are kept: a path of a file, `memory`, or `redis://host:port/db`. Default: a file in the user's cache
    directory."""
    sync_only: bool = False
    """Only keep the store in step with the topic, and answer `/healthz` and `/metrics`."""
    tokens: Path | None = None
    """File of bearer tokens: `read`, `write` or `admin`, and the token, on each line."""
    allow_anonymous: bool = False
    """Answer without tokens on an address that other machines reach."""
    origins: list[str] = []
    """Origins whose pages may send events and read lists, such as `https://shop.example`."""
    fresh_wait: Annotated[float, Field(gt=0.0, le=10.0)] = 0.025
    """Seconds that a look-up with `fresh=true` waits for its list."""
    impressions: bool = False
    """Write an `impression` with the list's source for every item of a list that is served."""
    max_body: Annotated[int, Field(ge=1_024)] = 1_048_576
    """Most bytes of a request's body."""
    max_events: Annotated[int, Field(ge=1)] = 1_000
    """Most events of one request."""
    rate: Annotated[float, Field(ge=0.0)] = 0.0
    """Most requests per second of one client. 0: no limit."""
    delivery_timeout: Annotated[float, Field(gt=0.0, le=300.0)] = 5.0
    """Seconds after which events that no broker has taken are answered with 503."""
    job_metrics: str = "http://127.0.0.1:9464/metrics"
    """Address of the job's `/metrics`, for the live page; empty: not asked."""
    events_topic: str = ""
    """Input topic that events and requests are written to. Default: the first that the job's `input_topic` names."""
    lookback: Annotated[int, Field(ge=0)] = 100_000
    """Records of each input partition that are read at the start, for titles, tags and users' histories."""

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, InitSettingsSource(settings_cls, cls.table))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_serve_settings(table: dict[str, Any], **flags: Any) -> ServeSettings:
    """Read the settings: flags come first, then variables, then the table.

    Args:
        table: The table `[serve]` of the settings file.
        flags: Options of the command. None: not given.

    Raises:
        UsageError: A setting is unknown or not what it must be, or the server would be open to others.
    """
    ServeSettings.table = table
    try:
        settings = ServeSettings(**{name: value for name, value in flags.items() if value is not None})
    except SourceError as error:
        raise UsageError(f'{error}. Lists are set by variables in JSON, such as ["https://shop.example"].') from None
    except ValidationError as error:
        found = error.errors()[0]
        name = ".".join(map(str, found["loc"]))
        if found["type"] == "extra_forbidden":
            known = ", ".join(ServeSettings.model_fields)
            raise UsageError(f"setting serve.{name}: there is no such setting. There are: {known}.") from None
        raise UsageError(f"setting serve.{name}: {found['msg']}; got {found['input']!r}") from None
    finally:
        ServeSettings.table = {}
    if not settings.is_loopback and settings.tokens is None and not settings.allow_anonymous:
        raise UsageError(
            f"setting serve.host: {settings.host} can be reached from other machines; expected `tokens`, a file of "
            "bearer tokens. Set it, or set `allow_anonymous` if something before the server checks who asks."
        )
    return settings


def default_store(topic: str, port: int) -> Path:
    """Return the file in the user's cache directory that keeps a topic's lists."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in topic)
    return cache / "freshrank" / f"{name}-{port}.sqlite"
