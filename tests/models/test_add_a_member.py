"""A member that is added to a copy of the package as `docs/add-a-member.md` says: it learns, is saved and explained."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recmodels.kernels.member_table import member_table

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "add-a-member.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the blocks of code of the page in a language; "" for output."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def apply(change: str, source: str) -> str:
    """Apply a block of changes, whose lines begin with a space, - or +, to the one place that it fits."""
    lines = [(line[:1], line[1:]) for line in change.splitlines()]
    old = "".join(f"{text}\n" for mark, text in lines if mark != "+")
    assert source.count(old) == 1, f"the page expects once:\n{old}"
    return source.replace(old, "".join(f"{text}\n" for mark, text in lines if mark != "-"))


def test_the_table_of_the_docs_is_what_the_members_say() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    assert member_table() in page, "paste what `python -m recmodels.kernels.member_table` prints into docs/models.md"


def changed_state() -> str:
    """Return `state.py` with the lines of the page."""
    state = (ROOT / "recmodels" / "kernels" / "state.py").read_text()
    for change in blocks("diff"):
        state = apply(change, state)
    return state


def test_the_lines_of_the_page_fit_the_file_that_they_change() -> None:
    compile(changed_state(), "state.py", "exec")
    assert changed_state().count("hours") >= len(blocks("diff"))


@pytest.mark.process
@pytest.mark.slow
def test_the_member_of_the_page_is_added_by_one_file_and_three_lines(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "recmodels", tmp_path / "recmodels", ignore=shutil.ignore_patterns("__pycache__"))
    member, script = blocks("python")
    kernels = tmp_path / "recmodels" / "kernels"
    (kernels / "members" / "hours.py").write_text(member)
    (kernels / "state.py").write_text(changed_state())
    old = tmp_path / "old.npz"
    save = "import sys, numpy; from recmodels import *\nm = Blend(max_items=100); m.learn_one('u1', 'bread 1')\n"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", save + "numpy.savez(sys.argv[1], **m.dump())", str(old)], cwd=ROOT, check=True
    )
    load = "m = Blend(max_items=100); m.load(dict(numpy.load(sys.argv[1]))); assert m.top('u2')[0][0] == 'bread 1'\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "import sys, numpy\n" + load, str(old)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == blocks("")[0].splitlines()
