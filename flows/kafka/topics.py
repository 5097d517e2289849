"""Choice of the input topics: one, several, or all whose names match a pattern."""

import re
from collections.abc import Iterable
from typing import Final

from flows.errors import UsageError

PATTERN_MARK: Final = "^"
"""First character of a choice that is a regular expression, as in Kafka's own clients."""


class TopicChoice:
    """The input topics, parsed from the setting `input_topic`.

    Args:
        text: A topic, several with commas between them, or a regular expression that begins with `^` and matches whole
            names.

    Raises:
        UsageError: There is no topic, a topic is there twice, or the expression is not valid.

    >>> TopicChoice("events").among(["events", "lists"]), TopicChoice("events, items").main
    (['events'], 'events')
    >>> TopicChoice(r"^shop[.].*").among(["shop.clicks", "shop.items", "lists"])
    ['shop.clicks', 'shop.items']
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        """Names of the topics; empty for a pattern."""
        self.pattern: re.Pattern[str] | None = None
        if text.startswith(PATTERN_MARK):
            try:
                self.pattern = re.compile(text)
            except re.error as error:
                raise UsageError(f"{text!r}: expected a regular expression of topic names; {error}.") from None
            return
        self.names = [name.strip() for name in text.split(",")]
        if not all(self.names):
            raise UsageError(f"{text!r}: expected a topic, or several with commas between them.")
        if len(set(self.names)) < len(self.names):
            raise UsageError(f"{text!r}: expected each topic once.")

    @property
    def main(self) -> str | None:
        """The first named topic. In the recovery state, its partitions are named by their numbers alone."""
        return self.names[0] if self.names else None

    @property
    def is_one(self) -> bool:
        """Whether the choice is one named topic."""
        return len(self.names) == 1

    def matches(self, topic: str) -> bool:
        """Say whether a topic is one of the input topics."""
        return topic in self.names if self.pattern is None else self.pattern.fullmatch(topic) is not None

    def among(self, topics: Iterable[str]) -> list[str]:
        """Return the input topics among these. Named topics keep their order, others are sorted by name."""
        found = {topic for topic in topics if self.matches(topic)}
        return [name for name in self.names if name in found] if self.names else sorted(found)
