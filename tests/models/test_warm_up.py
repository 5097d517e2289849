"""Warm-up: compiles the kernels once, and finds them in the cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recmodels
from recmodels.fused.warm_up import are_kernels_compiled, warm_up
from recmodels.kernels.compile import _digest_of, cache_directory


def test_kernels_are_in_the_cache_after_the_warm_up() -> None:
    warm_up()
    if cache_directory() is None:
        pytest.skip("there is no cache directory that can be written")
    assert are_kernels_compiled()


@pytest.mark.process
def test_a_second_checkout_of_the_same_code_uses_the_compiled_kernels(tmp_path: Path) -> None:
    warm_up()
    directory = cache_directory()
    if directory is None:
        pytest.skip("there is no cache directory that can be written")
    before = {file: file.stat().st_mtime_ns for file in directory.rglob("*")}
    shutil.copytree(Path(recmodels.__file__).parent, tmp_path / "recmodels")
    entries = tmp_path / "recmodels" / "kernels" / "event_loop.py"
    entries.write_text("# A comment moves every line.\n" + entries.read_text())

    code = "from recmodels.fused.warm_up import warm_up; warm_up(); import recmodels; print(recmodels.__file__)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert str(tmp_path) in ran.stdout
    assert {file: file.stat().st_mtime_ns for file in directory.rglob("*")} == before


def test_the_digest_of_the_code_is_that_of_its_meaning_and_is_kept(tmp_path: Path) -> None:
    code, other = "def double(x):\n    return 2 * x\n", "def double(x):\n    return x + x\n"
    found = _digest_of("layout", [code], tmp_path)
    assert _digest_of("layout", [f"# A comment.\n{code}"], tmp_path) == found
    assert _digest_of("layout", [other], tmp_path) != found
    assert _digest_of("another", [code], tmp_path) != found
    for file in tmp_path.iterdir():
        file.write_text("0" * 16)
    assert _digest_of("layout", [code], tmp_path) == "0" * 16, "it is read, and the code is not parsed"
    for file in tmp_path.iterdir():
        file.write_text("garbage")
    assert _digest_of("layout", [code], tmp_path) == found
    assert all(file.suffix == ".digest" for file in tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert _digest_of("layout", ["x = 1"], file / "cache") == _digest_of("layout", ["x = 1"], tmp_path)


@pytest.mark.process
def test_kernels_load_without_the_linear_algebra_of_scipy_and_numba_still_has_it() -> None:
    code = """
import sys
import numba
import numpy as np
from recmodels.fused.warm_up import warm_up
warm_up()
assert "scipy.linalg" not in sys.modules
product = numba.njit(lambda a, b: np.dot(a, b))
assert product(np.ones((2, 2)), np.ones((2, 2))).tolist() == [[2.0, 2.0], [2.0, 2.0]]
from scipy.linalg import cython_blas, inv
assert inv(np.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]] and cython_blas.__name__
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
