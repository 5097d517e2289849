"""Deep models without their extra: an error names the extra, and all other models work."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.sample import EVENTS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.process
def test_deep_model_without_its_extra_names_what_to_install() -> None:
    code = "import sys; sys.modules['jax'] = None; from flows.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", str(EVENTS), "--model", "deep:sasrec"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'freshrank[deep]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
