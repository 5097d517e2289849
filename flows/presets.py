"""Domains: presets of rewards, half-lives and repeats by kind of site.

Explicit settings override a preset. docs/domains.md has the reasons and sources of the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Literal, TypeAlias

from pydantic_settings import PydanticBaseSettingsSource
from typing_extensions import override

Domain: TypeAlias = Literal["ecommerce", "social", "video", "news"]

IMPRESSION: Final = -0.05
"""Reward of an item that was shown, as a share of a click's: twenty speak against it as one click speaks for it."""
UNKNOWN: Final = {"return": -1.0, "impression": IMPRESSION}
"""Rewards where no domain is set."""


@dataclass(frozen=True)
class Preset:
    """Settings of a domain.

    Attributes:
        rewards: By type of event; 1 for any other, so the clearest sign is 1: at a larger scale old pairs would fade
            sooner.
        by_value: Types of event whose reward is multiplied by their value.
        repeats: Whether a list may hold items that its user has interacted with.
        half_lives: Half-lives of the blend's popularity, in events.
        undo: Types of event that take another type back, by type.
    """

    rewards: dict[str, float]
    by_value: tuple[str, ...]
    repeats: Literal["allow", "exclude"]
    half_lives: tuple[float, ...]
    undo: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Return it by the names of the settings.

        >>> PRESETS["news"].settings()["model"]
        'blend(half_lives=(10.0, 100.0, 1000.0, 10000.0, 100000.0))'
        """
        lives = ", ".join("1e999" if life == inf else repr(life) for life in self.half_lives)  # a literal for infinity
        return {
            "rewards": dict(self.rewards),
            "by_value": list(self.by_value),
            "repeats": self.repeats,
            "undo": dict(self.undo),
            "model": f"blend(half_lives=({lives}))",
        }


PRESETS: Final[dict[Domain, Preset]] = {
    "ecommerce": Preset(
        rewards={
            "impression": 0.2 * IMPRESSION,
            "view": 0.2,
            "favorite": 0.4,
            "cart": 0.6,
            "purchase": 1.0,
            "remove_from_cart": -0.2,
            "return": -1.0,
        },
        by_value=(),
        repeats="allow",
        half_lives=(100.0, 1_000.0, 10_000.0, 100_000.0, inf),
        undo={"return": "purchase", "remove_from_cart": "cart"},
    ),
    "social": Preset(
        rewards={
            "impression": 0.2 * IMPRESSION,
            "view": 0.2,
            "like": 0.5,
            "comment": 1.0,
            "share": 1.0,
            "hide": -1.0,
            "report": -2.0,
        },
        by_value=(),
        repeats="exclude",
        half_lives=(10.0, 100.0, 1_000.0, 10_000.0, 100_000.0),
        undo={"unlike": "like"},
    ),
    "video": Preset(
        rewards={
            "impression": 0.2 * IMPRESSION,
            "click": 0.2,
            "watch": 1.0,
            "like": 1.0,
            "share": 1.0,
            "dislike": -1.0,
        },
        by_value=("watch",),
        repeats="exclude",
        half_lives=(100.0, 1_000.0, 10_000.0, 100_000.0, inf),
        undo={"unlike": "like"},
    ),
    "news": Preset(
        rewards={"impression": 0.5 * IMPRESSION, "click": 0.5, "read": 1.0, "share": 1.0, "hide": -1.0},
        by_value=("read",),
        repeats="exclude",
        half_lives=(10.0, 100.0, 1_000.0, 10_000.0, 100_000.0),
    ),
}


class DomainSource(PydanticBaseSettingsSource):
    """Settings of the domain that the sources before this one have named. Tables are merged: a reward that is set
    itself comes before the domain's, and leaves the others."""

    @override
    def __call__(self) -> dict[str, Any]:
        domain = self.current_state.get("domain")
        found = [preset for name, preset in PRESETS.items() if name == domain]  # it may be anything: not validated yet
        return found[0].settings() if found else {}

    @override
    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Not used: all fields come at once."""
        return None, field_name, False
