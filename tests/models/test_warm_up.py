"""The warm-up compiles the kernels, and finds them again."""

import pytest

from recmodels.fused.warm_up import are_kernels_compiled, warm_up
from recmodels.kernels.compile import cache_directory


def test_kernels_are_in_the_cache_after_the_warm_up() -> None:
    warm_up()
    if cache_directory() is None:
        pytest.skip("there is no cache directory that can be written")
    assert are_kernels_compiled()
