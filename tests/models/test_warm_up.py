"""The warm-up compiles the kernels, and finds them again."""

import pytest

from recmodels.fused.warm_up import are_kernels_compiled, warm_up
from recmodels.kernels.compile import CACHE_DIRECTORY


def test_kernels_are_in_the_cache_after_the_warm_up() -> None:
    if CACHE_DIRECTORY is None:
        pytest.skip("there is no cache directory that can be written")
    warm_up()
    assert are_kernels_compiled()
