"""The peak memory of a process is its own."""

import subprocess
import sys

import numpy as np
import pytest

from flows.monitoring.peak_memory import peak_rss_mb

MB = 2**20


@pytest.mark.slow
def test_peak_memory_counts_released_memory() -> None:
    before = peak_rss_mb()
    held = np.ones(int(before + 200) * MB // 8)
    assert peak_rss_mb() > before + 150
    assert len(held)


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what the parent held")
def test_peak_memory_excludes_the_parents_memory() -> None:
    held = np.ones(400 * MB // 8)
    child = "from flows.monitoring.peak_memory import peak_rss_mb; print(peak_rss_mb())"
    said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    assert float(said) < 300 < peak_rss_mb()
    assert len(held)
