"""Settings of rules over lists, of hidden items and of diversity."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, model_validator
from typing_extensions import override

from flows.setting_fields import setting
from flows.settings.lists import ListSettings
from flows.steps.rules import parse_rules
from recmodels.base import Recommender
from recmodels.rules import Ruled
from recmodels.specification import ModelInfo, model_info


class RuledListSettings(ListSettings, BaseModel):
    """Settings that decide the lists, with those of rules."""

    rules: Annotated[
        dict[str, Any],
        setting(
            "lists",
            "Rules over lists, by name: what they exclude, require, boost, pin, or allow at most. Example: "
            '`{ brands = { at_most = 2, per = "brand" } }`.',
            see="docs/rules.md",
        ),
    ] = {}
    diversity: Annotated[
        float,
        setting(
            "lists",
            "Weight of the difference between the items of a list, by tags and co-visitation. 0 orders by score alone.",
            see="docs/rules.md",
            is_tuned=True,
            ge=0.0,
            le=1.0,
        ),
    ] = 0.0
    hide: Annotated[
        list[str],
        setting(
            "lists",
            'Types of event by which a user hides an item for good, such as `["hide"]`. Their reward is -1, unless '
            "`rewards` has one.",
            see="docs/rules.md",
        ),
    ] = []
    unhide: Annotated[
        list[str],
        setting("lists", "Types of event by which a user shows a hidden item again.", see="docs/rules.md"),
    ] = []

    @model_validator(mode="after")
    def _rules_go_together(self) -> Self:
        parse_rules(self.rules, self.top)
        for kind in self.hide:
            if kind in self.unhide or kind in self.undo:
                other = "unhide" if kind in self.unhide else "undo"
                raise ValueError(f"hide: expected types of event with one meaning; {kind} is in {other}, too.")
            if (reward := self.rewards.get(kind, -1.0)) > 0.0:
                raise ValueError(
                    f"hide: expected types with a reward of 0 or below; {kind} has {reward:g}. Correct rewards."
                )
        if self.unhide and not self.hide:
            raise ValueError("unhide: expected a type in hide, too. Name the events that hide an item.")
        if self.hide:
            self.rewards = {**dict.fromkeys(self.hide, -1.0), **dict.fromkeys(self.unhide, 0.0), **self.rewards}
        return self

    @property
    def has_rules(self) -> bool:
        """Whether something is between the model's ranking and the list."""
        return bool(self.rules or self.diversity or self.hide)

    @override
    def under_rules(self, model: Recommender) -> Recommender:
        if not self.has_rules:
            return model
        rules = parse_rules(self.rules, self.top)
        return Ruled(model, rules, diversity=self.diversity, hide=self.hide, unhide=self.unhide)

    @property
    @override
    def model_info(self) -> ModelInfo:
        info = super().model_info
        own = model_info(self.model).version
        return info._replace(version=Ruled.version_of(own) + info.version.removeprefix(own)) if self.has_rules else info
