"""Exploration: places in lists for items that are new or uncertain."""

from recmodels.exploration.explorer import Explorer

__all__ = ["Explorer"]
