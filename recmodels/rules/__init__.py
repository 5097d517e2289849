"""Rules of a shop over the lists of a model, and diversity.

A model ranks items by what users did. A shop knows more: what must not be shown, to whom, how many of one brand, and
what stands first this week. `recmodels.rules.ruled.Ruled` wraps a model and applies such rules to its candidates, after
the ranking and before the list goes out. The model learns as it would without.
"""

from recmodels.rules.around import load_arrays, rules_of
from recmodels.rules.rule import Rule
from recmodels.rules.ruled import Ruled

__all__ = ["Rule", "Ruled", "load_arrays", "rules_of"]
