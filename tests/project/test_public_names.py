"""The public doors of `flows` export what they name, with docstrings."""

import importlib
import inspect

import pytest

DOORS = [
    "flows.errors",
    "flows.evaluation.model_observer",
    "flows.evaluation.protocol",
    "flows.pipeline",
    "flows.recommend",
    "flows.replay",
    "flows.report.data",
    "flows.report.page",
    "flows.settings",
    "recmodels",
]


@pytest.mark.parametrize("door", DOORS)
def test_door_exports_documented_names(door: str) -> None:
    module = importlib.import_module(door)
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name)), f"{door}.{name} has no docstring"


@pytest.mark.parametrize("door", DOORS)
def test_package_docstring_names_each_door(door: str) -> None:
    assert door == "recmodels" or door in (importlib.import_module("flows").__doc__ or "")
