"""Models whose members run in one compiled kernel over shared tables."""

from recmodels.fused.model import FusedModel

__all__ = ["FusedModel"]
