"""Warm-up: compiles the kernels once, and finds them in the cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recmodels
from recmodels.fused.warm_up import are_kernels_compiled, warm_up
from recmodels.kernels.compile import cache_directory


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
