"""Settings of the lists: the model, the meaning of events, and which lists are sent."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, field_validator, model_validator

from flows.presets import UNKNOWN, Domain
from flows.setting_fields import setting
from flows.steps.ask_items import ItemLists
from flows.steps.clean import Cleaning
from flows.steps.conditions import Condition
from flows.steps.emit import Emission, Policy
from flows.steps.features import Meaning
from flows.steps.impute import Filling
from flows.steps.learn import Learning
from flows.steps.refresh import Refreshing
from recmodels.base import Recommender
from recmodels.exploration.explorer import Explorer
from recmodels.specification import ModelInfo, build_model, model_info


class ListSettings(BaseModel):
    """Settings that decide the lists, and the configuration of the steps that they give."""

    model: Annotated[
        str,
        setting(
            "lists",
            "Model: a name such as `blend`, several with `+` between them, `river:reco.BiasedMF(n_factors=32)` or "
            "`package.module:Class(argument=1)`. A recovery directory belongs to one model.",
            see="docs/models.md",
        ),
    ] = "blend"
    top: Annotated[int, setting("lists", "Number of items in a list.", ge=1, le=1_000)] = 10
    repeats: Annotated[
        Literal["allow", "exclude"],
        setting("lists", "Whether a list may hold items that its user has interacted with."),
    ] = "allow"
    domain: Annotated[
        Domain | None,
        setting(
            "lists",
            "Kind of site. It gives defaults to `rewards`, `by_value`, `undo`, `repeats` and the model's half-lives.",
            example='"news"',
            see="docs/domains.md",
        ),
    ] = None
    seed: Annotated[
        int,
        setting("lists", "Seed of all that the model draws. The same seed and log give the same lists.", ge=0),
    ] = 0
    explore: Annotated[
        float,
        setting(
            "lists",
            "Share of lists whose last slot goes to an item on trial, such as 0.05. With `attribution_window`, "
            "impressions and clicks are its outcomes. 0 turns it off.",
            see="docs/models.md",
            is_tuned=True,
            ge=0.0,
            le=1.0,
        ),
    ] = 0.0
    rewards: Annotated[
        dict[str, float],
        setting(
            "lists",
            "Reward by type of event. Other types have 1. At 0 or below, the event speaks against the item.",
            see="docs/domains.md",
        ),
    ] = UNKNOWN
    by_value: Annotated[
        list[str],
        setting(
            "lists",
            "Types of event whose reward is multiplied by `value`, such as the watched share of a video.",
            see="docs/domains.md",
        ),
    ] = []
    undo: Annotated[
        dict[str, str],
        setting(
            "lists",
            "Type of event that takes back the user's newest event of another type with the item: "
            '`{ "unlike" = "like" }`. An empty text turns off what `domain` sets.',
            see="docs/your-data.md",
        ),
    ] = {}
    fill: Annotated[
        dict[str, Filling],
        setting(
            "lists",
            "How a missing `value` or field of the context is filled: with the `mean` so far, or the `mode`, the most "
            'common word. Example: `{ device = "mode", value = "mean" }`.',
            is_tuned=True,
        ),
    ] = {}
    dedup_window: Annotated[
        int, setting("lists", "Number of event ids that are remembered to drop repeated events. 0 drops none.", ge=0)
    ] = 10_000
    hold_back: Annotated[
        float,
        setting(
            "lists",
            "Threshold of the bot filter: interquartile ranges above the third quartile of all users. 0 turns it off.",
            see="docs/operations.md",
            ge=0.0,
        ),
    ] = 3.0
    emit: Annotated[
        Policy,
        setting("lists", "Emit a list after every event, only if it changed, or only on request.", is_tuned=True),
    ] = "every"
    emit_interval: Annotated[
        float,
        setting("lists", "Shortest event time between two lists of one user.", unit="s", is_tuned=True, ge=0.0),
    ] = 0.0
    why: Annotated[
        bool,
        setting(
            "lists", "Add the largest parts of its score to each item of a list. It doubles the time.", is_tuned=True
        ),
    ] = False
    min_score: Annotated[
        float | None,
        setting(
            "lists",
            "Lowest score of an item in a list. A list may then be empty.",
            example="0.01",
            see="docs/scores.md",
            is_tuned=True,
            allow_inf_nan=False,
        ),
    ] = None
    max_users: Annotated[
        int,
        setting("lists", "Number of users that the emission policy and `refresh` remember.", is_tuned=True, ge=1),
    ] = 1_000_000
    refresh: Annotated[
        float,
        setting(
            "lists",
            "Idle time of a user, by event time, after which the list is made anew. 0 turns it off.",
            unit="s",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0.0,
            allow_inf_nan=False,
        ),
    ] = 0.0
    refresh_removed: Annotated[
        int,
        setting(
            "lists",
            "Largest number of lists that are made anew after one event because they hold an item that has become "
            "unavailable. 0 turns it off. Lists are known from the first item event on.",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0,
        ),
    ] = 32
    refreshes: Annotated[
        int,
        setting(
            "lists",
            "Number of refreshes of an idle user, each after four times the idle time before. Then comes a tombstone.",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0,
            le=10,
        ),
    ] = 1
    refresh_budget: Annotated[
        float,
        setting(
            "lists",
            "Lists of idle users that are made anew, per interaction, such as 0.1. They go where the job has learned "
            "that a new list gains the most. 0 turns it off.",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0.0,
            le=4.0,
            allow_inf_nan=False,
        ),
    ] = 0.0
    fallback: Annotated[
        bool,
        setting(
            "lists",
            "Emit a fallback list under the empty key. It serves users without a list, and users whose list is old: it "
            "says from which age. With `false` each event gives one list and nothing else. `refresh` turns it on, too.",
            see="docs/freshness.md",
            is_tuned=True,
        ),
    ] = True
    withdraw_stale: Annotated[
        bool,
        setting(
            "lists",
            "Write a tombstone when a list reaches the age from which the fallback list serves better. Turn it on if "
            "readers cannot compare ages.",
            see="docs/freshness.md",
            is_tuned=True,
        ),
    ] = False
    related: Annotated[
        float,
        setting(
            "lists",
            "Largest number of lists of related items per event, such as 1. Only lists that changed are sent. 0 makes "
            "none.",
            see="docs/messages.md",
            ge=0.0,
            le=100.0,
            allow_inf_nan=False,
        ),
    ] = 0.0
    trending: Annotated[
        float,
        setting(
            "lists",
            "Largest number of lists of trending items per event, of all items and by tag, such as 0.25. Only lists "
            "that changed are sent. 0 makes none.",
            see="docs/messages.md",
            ge=0.0,
            le=100.0,
            allow_inf_nan=False,
        ),
    ] = 0.0

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model: str) -> str:
        model_info(model)
        return model

    @model_validator(mode="after")
    def _model_has_item_lists(self) -> "ListSettings":
        if self.makes_item_lists and not self.model_info.has_item_lists:
            asked = " and ".join(f"`{name}`" for name in ("related", "trending") if getattr(self, name))
            raise ValueError(
                f"expected a model that knows related and trending items for {asked}; {self.model} does not. Choose "
                "blend, or set them to 0."
            )
        return self

    @field_validator("undo")
    @classmethod
    def _without_turned_off(cls, undo: dict[str, str]) -> dict[str, str]:
        return {kind: undone for kind, undone in undo.items() if undone}

    @model_validator(mode="after")
    def _takes_back_what_counts(self) -> Self:
        for kind, undone in self.undo.items():
            if undone in self.undo:
                raise ValueError(f"undo: expected a type that takes nothing back; {kind} takes back {undone}.")
            if (reward := self.rewards.get(undone, 1.0)) <= 0.0:
                raise ValueError(
                    f"undo: expected a type with a reward above 0; {kind} takes back {undone}, whose reward is "
                    f"{reward:g}. Leave {kind} out, and give it a reward."
                )
        return self

    @property
    def takes_back(self) -> bool:
        """Whether an event may take an earlier one back."""
        return bool(self.undo)

    def build_model(self) -> Recommender:
        """Return a new model, which has learned nothing."""
        return self._build(self.model)

    def _build(self, specification: str) -> Recommender:
        model = build_model(specification, repeats=self.repeats, seed=self.seed, undo=self.takes_back)
        model = self.under_rules(model)
        if not self.explore:
            return model
        return Explorer(model, share=self.explore, seed=self.seed, window=self.answer_window)

    @property
    def answer_window(self) -> float:
        """Event time in which impressions answer a slot of `explore`. 0: the next interaction does."""
        return 0.0

    def under_rules(self, model: Recommender) -> Recommender:
        """Return the model with rules around it, if there are any (`flows.settings.rules`)."""
        return model

    @property
    def model_info(self) -> ModelInfo:
        """Version and properties of the model, without building it."""
        info = model_info(self.model)
        return info._replace(version=Explorer.version_of(info.version)) if self.explore else info

    def cleaning(self) -> Cleaning:
        """Return the configuration of the step `clean`."""
        return Cleaning(dedup_window=self.dedup_window, bot_threshold=self.hold_back)

    def meaning(self, is_positive: Condition | None = None) -> Meaning:
        """Return the configuration of the step `features`. Only interactions that meet the condition are positive."""
        known: dict[str, Any] = {"rewards": self.rewards, "by_value": self.by_value, "undo": self.undo}
        return Meaning(**known, fill=self.fill, is_positive=is_positive)

    def refreshing(self) -> Refreshing:
        """Return the configuration of the step `refresh`."""
        return Refreshing(after=self.refresh, times=self.refreshes, fallback=self.fallback, max_users=self.max_users)

    def learning(self, **more: Any) -> Learning:
        """Return the configuration of the step `learn`. `more` are further arguments of `Learning`."""
        return Learning(
            build_model=self.build_model,
            top=self.top,
            why=self.why,
            refresh_removed=self.refresh_removed,
            max_users=self.max_users,
            takes_back=self.takes_back,
            refresh_budget=self.refresh_budget,
            **more,
        )

    def emission(self) -> Emission:
        """Return the configuration of the step `emit`."""
        return Emission(
            policy=self.emit,
            interval=self.emit_interval,
            max_users=self.max_users,
            min_score=self.min_score,
            fallback=self.makes_requests,
            withdraw_stale=self.withdraw_stale,
        )

    @property
    def makes_requests(self) -> bool:
        """Whether the job makes lists without an event of their user: lists of idle users, or the fallback list."""
        return self.refresh > 0 or self.fallback

    def item_lists(self) -> ItemLists:
        """Return the configuration of the step `ask_items`."""
        return ItemLists(related=self.related, trending=self.trending, max_users=self.max_users)

    @property
    def makes_item_lists(self) -> bool:
        """Whether the job makes lists that belong to no user."""
        return self.related > 0 or self.trending > 0
