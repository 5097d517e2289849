"""Where the optional extra `deep` is not installed, its modules are no place to look for doctests."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("jax") and find_spec("keras") else ["recmodels/deep"]
