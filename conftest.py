"""What holds for every test: kernels are compiled once, and doctests of an extra that is missing are passed over."""

from importlib.util import find_spec

import pytest

DEEP = ["recmodels/deep", "recmodels/deep/*", "recmodels/slow/training.py"]
collect_ignore_glob = [] if find_spec("jax") and find_spec("keras") else DEEP


def pytest_configure(config: pytest.Config) -> None:
    """Compile the kernels before the processes of `pytest -n` start, or each of them would compile its own."""
    if getattr(config.option, "numprocesses", None) and not config.option.collectonly:
        from recmodels.fused.warm_up import warm_up

        warm_up()
