"""Single members of the blend, each as a model of its own, for comparisons or where one is enough."""

from collections.abc import Iterator
from typing import Any

from recmodels.fused.model import FusedModel
from recmodels.kernels.members.popularity import HALF_LIVES


class Popularity(FusedModel):
    """Time-decayed popularity at one half-life.

    Args:
        half_life: In events, or in seconds if `decay_by` is "time"; `inf` counts all events alike.
        decay_by: "events" or "time": what half-lives count.
        repeats: "allow", or "exclude" to leave out what the user has had.
        max_users: Bound on users. Beyond it the least recently used are dropped.
        max_items: Bound on items, as for users.
        seed: Seed of the first factors.

    >>> model = Popularity(half_life=2.0)
    >>> for user, item in [("ann", "tea"), ("bob", "tea"), ("ann", "jam"), ("bob", "jam")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("eve")]
    ['jam', 'tea']
    >>> model = Popularity(half_life=3600.0, decay_by="time")
    >>> for hour, item in [(0, "tea"), (0, "tea"), (0, "tea"), (1, "jam"), (1, "jam")]:
    ...     model.learn_one("ann", item, x={"timestamp": 3600.0 * hour})
    >>> [item for item, score in model.top("eve")]
    ['jam', 'tea']
    """

    members = frozenset({"popularity"})
    first_weights = {"popularity": (1.0,)}  # noqa: RUF012

    def __init__(
        self,
        half_life: float = 300.0,
        decay_by: str = "events",
        repeats: str = "allow",
        max_users: int = 1_000_000,
        max_items: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        super().__init__(
            repeats=repeats,
            max_users=max_users,
            max_items=max_items,
            half_lives=(half_life,) * HALF_LIVES,
            decay_by=decay_by,
            seed=seed,
        )
        self.half_life = half_life

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"half_life": 3_600.0, "decay_by": "time"}


class CoVisitation(FusedModel):
    """Directed item-to-item co-visitation over the user's recent items. Popularity breaks ties.

    >>> model = CoVisitation()
    >>> for user, item in [("ann", "tea"), ("ann", "jam"), ("bob", "pie"), ("bob", "tea")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("bob", n=1)]
    ['jam']
    """

    members = frozenset({"popularity", "covisitation"})
    first_weights = {"covisitation": (0.0, 0.0, 1.0), "popularity": (0.0, 0.0, 0.0, 0.0, 1e-3)}  # noqa: RUF012


class History(FusedModel):
    """Personal history: items that the user has interacted with, by count and recency. Popularity fills the list.

    >>> model = History()
    >>> for user, item in [("ann", "tea"), ("ann", "jam"), ("ann", "tea"), ("bob", "pie")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("ann")]
    ['tea', 'jam', 'pie']
    """

    members = frozenset({"popularity", "history"})
    first_weights = {"history": (1.0, 1.0, 1.0), "popularity": (1e-3,)}  # noqa: RUF012


class Factorization(FusedModel):
    """Factorisation over the user's recent items. Popularity and co-visitation only propose candidates."""

    members = frozenset({"popularity", "covisitation", "factorization"})
    first_weights = {"factorization": (1.0,)}  # noqa: RUF012


class Content(FusedModel):
    """Content: items that share tags with the user's items, also before their first interaction. Popularity fills the
    list.

    >>> model = Content(repeats="exclude")
    >>> for item, tag in [("rose", "red"), ("sky", "blue"), ("ruby", "red")]:
    ...     model.learn_item(item, {"tags": [tag]})
    >>> for user, item in [("ann", "rose"), ("bob", "sky"), ("eve", "sky")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("ann")]
    ['ruby', 'sky']
    """

    members = frozenset({"popularity", "content"})
    first_weights = {"content": (1.0,), "popularity": (1e-3,)}  # noqa: RUF012
