"""What a slow model chooses from: the first candidates of a cheap compiled one."""

from recmodels.fused.model import FusedModel


class CandidateGenerator(FusedModel):
    """What is popular, what follows, and what the user had before, united by weights that are learned online.

    It is the blend without the factorisation, which costs most of the time and proposes nothing by itself.

    >>> model = CandidateGenerator(repeats="exclude")
    >>> for user, item in [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("cat", "pie")]:
    ...     model.learn_one(user, item)
    >>> [item for item, score in model.top("bob")]
    ['jam', 'pie']
    """

    members = frozenset({"popularity", "covisitation", "history"})
    learns_weights = True
