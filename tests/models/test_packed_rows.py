"""Packed rows: columns of several tables in one cache line."""

import numpy as np
import pytest

from recmodels.storage.tables import PackedRows


def test_packed_columns_have_to_fit_a_cache_line() -> None:
    rows = PackedRows(2)
    small, large, tiny = (rows.column(*each) for each in ((np.float32, (3,)), (np.int64, (5,)), (np.uint8, ())))
    for number, array in enumerate((small, large, tiny), start=1):
        array[...] = number
    assert (small == 1).all()
    assert (large == 2).all()
    assert (tiny == 3).all()
    with pytest.raises(ValueError, match="at most 64 bytes a row"):
        rows.column(np.int64, (2,))
