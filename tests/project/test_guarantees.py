"""Each promise in `docs/guarantees.md` names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", GUARANTEES)


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_test_that_proves_a_promise_exists(file: str, test: str) -> None:
    (path,) = ROOT.glob(f"tests/**/{file}")
    tree = ast.parse(path.read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_promise_names_a_test() -> None:
    promises = re.findall(r"^- (.+?)(?=^- |^#|^Not promised|\Z)", GUARANTEES, re.MULTILINE | re.DOTALL)
    assert len(promises) > 12
    assert [promise for promise in promises if "::test_" not in promise] == []
