"""Settings of how many lists are sent, and which come first."""

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel
from typing_extensions import override

from flows.setting_fields import setting
from flows.settings.rules import RuledListSettings
from flows.steps.emit import Emission
from flows.steps.list_budget import BURST_SECONDS


class SentListSettings(RuledListSettings, BaseModel):
    """Settings that decide the lists, with limits on those that are sent."""

    emit_change: Annotated[
        float,
        setting(
            "lists",
            "Emit a list only if more than this share of it is new to its user, by the weight of the places. 0 sets no "
            "limit.",
            see="docs/emission.md",
            is_tuned=True,
            ge=0.0,
            le=1.0,
        ),
    ] = 0.0
    emit_budget: Annotated[
        float,
        setting(
            "lists",
            "Largest number of lists per second of event time, such as 50. The most useful go first, and the others "
            "wait. 0 sets no limit.",
            see="docs/emission.md",
            is_tuned=True,
            ge=0.0,
            allow_inf_nan=False,
        ),
    ] = 0.0

    emit_burst: Annotated[
        float,
        setting(
            "lists",
            "Event time for which an unspent `emit_budget` is saved, such as 3600. The longer, the more lists are sent "
            "in a burst of events.",
            unit="s",
            see="docs/emission.md",
            ge=0.0,
            allow_inf_nan=False,
        ),
    ] = BURST_SECONDS

    @override
    def emission(self) -> Emission:
        return replace(
            super().emission(),
            least_change=self.emit_change,
            budget=self.emit_budget,
            burst=self.emit_burst,
            by_score=self.model_info.scores_are_probabilities,
        )
