"""Candidate generator: a cheap compiled model that selects candidates for a slow one."""

from recmodels.fused.model import FusedModel


class CandidateGenerator(FusedModel):
    """Popularity, co-visitation and personal history, combined by weights that are learned online.

    It is the blend without the factorisation, which takes most of the time and proposes no candidates.

    >>> model = CandidateGenerator(repeats="exclude")
    >>> for user, item in [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("cat", "pie")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("bob")]
    ['jam', 'pie']
    """

    members = frozenset({"popularity", "covisitation", "history"})
    learns_weights = True
