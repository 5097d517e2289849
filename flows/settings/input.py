"""Settings of the input: names of fields, times, and formats of files."""

from typing import Annotated

from pydantic import BaseModel, field_validator

from flows.formats.field_map import check_fields
from flows.formats.file_format import FileOptions
from flows.formats.times import TimeFormat, TimeUnit
from flows.setting_fields import setting


class InputSettings(BaseModel):
    """Settings that say how records are read, from files and from topics."""

    fields: Annotated[
        dict[str, str],
        setting(
            "input",
            'Path of a field of the input that has another name or is nested: `{ user = "actor.id" }`. An empty path '
            "turns a field off.",
        ),
    ] = {}
    time_unit: Annotated[
        TimeUnit | None,
        setting(
            "input",
            "Unit of numbers in `timestamp`. By default it is found by their size in a file, and is seconds on Kafka.",
            example='"ms"',
        ),
    ] = None
    time_zone: Annotated[
        str, setting("input", "Zone of times that name none: `Europe/Berlin`, or an offset such as `+02:00`.")
    ] = "UTC"
    time_format: Annotated[
        str | None,
        setting(
            "input",
            "Format of times in the codes of Python's `strptime`. By default it is ISO 8601.",
            example='"%d.%m.%Y %H:%M"',
        ),
    ] = None
    files: Annotated[
        dict[str, FileOptions],
        setting(
            "input",
            "How files are read, by patterns of their names: "
            '`{ "clicks*.csv" = { delimiter = ";", columns = ["user", "item", "-", "timestamp"] } }`.',
            see="docs/your-data.md",
        ),
    ] = {}

    @field_validator("fields")
    @classmethod
    def _fields_exist(cls, fields: dict[str, str]) -> dict[str, str]:
        check_fields(fields, "fields")
        return fields

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        TimeFormat(zone=zone)
        return zone

    @property
    def file_options(self) -> list[tuple[str, FileOptions]]:
        """Options of files by pattern. The first match wins."""
        every = FileOptions(
            self.fields, time_unit=self.time_unit, time_zone=self.time_zone, time_format=self.time_format
        )
        return [*self.files.items(), ("*", every)]

    @property
    def times(self) -> TimeFormat:
        """Format of timestamps, unless a file's format is detected from its content."""
        return TimeFormat(self.time_unit or "s", self.time_zone, self.time_format)
