"""A River pipeline that sees tags, price, time of day and context."""

from recmodels.contextual.model import Contextual

__all__ = ["Contextual"]
