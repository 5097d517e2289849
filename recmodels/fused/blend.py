"""The default model: all members united, by weights learned online."""

from collections.abc import Iterator
from typing import Any

from recmodels.fused.model import FusedModel
from recmodels.kernels.state import MEMBERS


class Blend(FusedModel):
    """Popularity at five half-lives, co-visitation from three histories, personal history and a factorisation.

    The candidates are what the members propose. Each member says something of every candidate, and a multinomial
    logit over the candidates, learned from every event before the members learn it, says how much that counts, by the
    length of the user's history and the time since the user's last event. See `recmodels.kernels` for each part.

    The score of an item is how likely it is that the user's next interaction is with that item.

    >>> model = Blend(repeats="exclude")
    >>> for minute, (user, item) in enumerate(
    ...     [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam"), ("cat", "pie"), ("eve", "tea")]
    ... ):
    ...     model.learn_one(user, item, x={"timestamp": 60.0 * minute})
    >>> [item for item, score in model.top("eve", n=2)]
    ['jam', 'pie']
    """

    members = frozenset(member.name for member in MEMBERS)
    learns_weights = True
    scores_are_probabilities = True

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"outside": "popularity(half_life=5.0)"}
        yield {"outside": "covisitation + river:reco.BiasedMF(n_factors=4, seed=1)"}
