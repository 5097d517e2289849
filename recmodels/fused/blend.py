"""Blend: the default model, which combines all members by weights learned online."""

from collections.abc import Iterator
from typing import Any

from recmodels.fused.model import FusedModel
from recmodels.kernels.state import MEMBERS


class Blend(FusedModel):
    """Popularity at five half-lives, co-visitation from three histories, personal history and a factorisation.

    The members propose candidates, and each member fills its columns for every candidate. A multinomial logit over the
    candidates learns the weight of each column. The weights depend on the length of the user's history and on the time
    since the user's last event. They learn each event before the members do. See `recmodels.kernels` for each part.

    The score of an item is the probability that the user's next interaction is with that item.

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
