"""Settings of what is measured beside the lists: a challenger, and what comes of the lists that were sent."""

from typing import Annotated, Self

from pydantic import field_validator, model_validator

from flows.monitoring.challenge import Challenge
from flows.setting_fields import setting
from flows.settings.emission import SentListSettings
from flows.state.roles import Roles
from flows.steps.attribute import Attributing
from flows.steps.challenger import Challenging
from flows.steps.exposure import Exposure, Mode
from flows.steps.scoring import Evaluator
from recmodels.base import Recommender
from recmodels.specification import model_info


class ExperimentSettings(SentListSettings):
    """Settings of a challenger and of attribution."""

    challenger: Annotated[
        str | None,
        setting(
            "lists",
            "A second model that learns every event beside `model`. Both are scored on the same events. Its lists are "
            "not sent.",
            example='"blend(reranker=False)"',
            see="docs/better.md",
        ),
    ] = None
    challenger_share: Annotated[
        float,
        setting(
            "lists",
            "Share of events on which the challenger is scored, such as 0.1. It learns all of them.",
            see="docs/better.md",
            gt=0.0,
            le=1.0,
        ),
    ] = 1.0
    challenger_users: Annotated[
        float,
        setting(
            "lists",
            "Share of users, by a hash of their id, who see the challenger. It needs `attribution_window`.",
            see="docs/better.md",
            ge=0.0,
            le=1.0,
        ),
    ] = 0.0
    challenger_lists: Annotated[
        Mode,
        setting(
            "lists",
            "What these users see: lists of both models interleaved, or split: the challenger's lists alone.",
            see="docs/better.md",
        ),
    ] = "interleave"
    attribution_window: Annotated[
        float,
        setting(
            "lists",
            "Event time after a list in which impressions and interactions are credited to it, such as 3600. 0 turns "
            "attribution off.",
            unit="s",
            see="docs/better.md",
            ge=0.0,
            allow_inf_nan=False,
        ),
    ] = 0.0
    attribution_lists: Annotated[
        int,
        setting("lists", "Number of sent lists that attribution remembers.", see="docs/better.md", ge=64),
    ] = 100_000

    @field_validator("challenger")
    @classmethod
    def _challenger_exists(cls, challenger: str | None) -> str | None:
        if challenger is not None:
            model_info(challenger)
        return challenger

    @model_validator(mode="after")
    def _exposure_is_measured(self) -> Self:
        missing = [name for name in ("challenger", "attribution_window") if not getattr(self, name)]
        if self.challenger_users and missing:
            raise ValueError(
                f"challenger_users: expected {' and '.join(missing)} to be set, too: a challenger that users see is "
                "judged by what comes of its lists. Set them, or set challenger_users to 0."
            )
        return self

    def build_challenger(self) -> Recommender:
        """Return a new challenger, which has learned nothing and explores as the model does."""
        assert self.challenger is not None
        return self._build(self.challenger)

    @property
    def answer_window(self) -> float:
        """Event time in which impressions answer a slot of `explore`: that of attribution."""
        return self.attribution_window

    @property
    def uses_kernels(self) -> bool:
        """Whether the model or the challenger runs in compiled kernels."""
        return self.model_info.uses_kernels or (
            self.challenger is not None and model_info(self.challenger).uses_kernels
        )

    def challenging(
        self, challenge: Challenge, k: int | None = None, judge: Evaluator | None = None
    ) -> Challenging | None:
        """Return the configuration of the challenger. None: the settings name none.

        Args:
            challenge: Takes what is measured.
            k: Length of the lists that count. None: `top`.
            judge: Scores by a protocol of its own. None: each event is scored against the list of `k` items.
        """
        if self.challenger is None:
            return None
        challenge.model, challenge.champion = self.challenger, self.model
        challenge.k, challenge.share = k or self.top, self.challenger_share
        return Challenging(
            build_model=self.build_challenger,
            challenge=challenge,
            share=self.challenger_share,
            k=challenge.k,
            exposure=self.exposure,
            top=self.top,
            judge=judge,
        )

    @property
    def exposure(self) -> Exposure | None:
        """What users see of the challenger. None: nothing."""
        if not self.challenger_users:
            return None
        return Exposure(share=self.challenger_users, mode=self.challenger_lists, seed=self.seed)

    def attributing(self, roles: Roles) -> Attributing:
        """Return the configuration of the step `attribute`.

        Args:
            roles: Numbers of the champion and of the challenger.
        """
        pair = roles.pair if self.challenger_users else None
        return Attributing(window=self.attribution_window, most=self.attribution_lists, top=self.top, pair=pair)
