"""The connector of docs/connectors.md, with a folder of events and a database of its own."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "connectors.md"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "shop.py").write_text("\n\n".join(blocks))
    (tmp_path / "events").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_FOLDER", str(tmp_path / "events"))
    monkeypatch.setenv("SHOP_DATABASE", str(tmp_path / "lists.db"))
    yield tmp_path
    sys.modules.pop("shop", None)
