"""Logs in Parquet."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from flows.errors import LogError
from flows.files.inputs import open_logs
from flows.files.open_log import open_log
from flows.messages import Interaction, Rejected
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.read_logs import events, records, topics_and_users, write


class TestParquet:
    pa = pytest.importorskip("pyarrow")

    def table(self, path: Path, row_group: int = 2, **columns: Any) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path, row_group_size=row_group)
        return path

    @pytest.mark.slow
    def test_parquet_gives_the_lists_of_the_csv(self, tmp_path: Path) -> None:
        import pyarrow.csv as csv
        import pyarrow.parquet as pq

        ids = csv.ConvertOptions(column_types={"user": "string", "item": "string"})  # some begin with zeros
        table = csv.read_csv(EVENTS, convert_options=ids).slice(0, 2_000)
        parquet = tmp_path / "events.parquet"
        pq.write_table(table, parquet, row_group_size=300)
        outs = [tmp_path / "csv.jsonl", tmp_path / "parquet.jsonl"]
        replay(EVENTS, Settings(model="history", fallback=False), limit=2_000, out=outs[0])
        replay(parquet, Settings(model="history", fallback=False), out=outs[1])
        assert outs[1].read_bytes() == outs[0].read_bytes()
        assert outs[1].read_bytes().count(b"\n") == 2_000

    def test_numbers_and_times_of_every_kind_are_read(self, tmp_path: Path) -> None:
        moment, zone = datetime(2026, 11, 1, 8, 0, 0, 500_000), timezone(timedelta(hours=2))
        local = moment.replace(tzinfo=UTC).astimezone(zone)
        pa, seconds = self.pa, moment.replace(tzinfo=UTC).timestamp()
        for times in (
            pa.array([moment], pa.timestamp("us")),
            pa.array([local], pa.timestamp("ms", tz="+02:00")),
            pa.array([moment], pa.timestamp("ns")),
            pa.array([seconds]),
            pa.array([local.isoformat()]),
            pa.array([local.isoformat()]).dictionary_encode(),
        ):
            path = self.table(
                tmp_path / "e.parquet", user=pa.array([7]), item=pa.array(["tea"]).dictionary_encode(), timestamp=times,
                value=pa.array([True]), event=pa.array([None], pa.string()), odd=pa.array([b"x"]),
            )  # fmt: skip
            (event,) = events(open_log(path))
            assert event == Interaction("7", "tea", seconds, "interaction", 1.0, at=("e", 0, 0)), times.type
        path = self.table(tmp_path / "e.parquet", user=["ann"], item=["tea"], timestamp=pa.array([date(1970, 1, 2)]))
        assert events(open_log(path)) == [Interaction("ann", "tea", 86_400.0, at=("e", 0, 0), has_value=False)]

    def test_null_cells_count_as_missing(self, tmp_path: Path) -> None:
        path = self.table(
            tmp_path / "e.parquet",
            user=["ann", "bob", None],
            item=["tea", "tea", "tea"],
            timestamp=[1.0, 2.0, 3.0],
            value=[float("nan"), None, 1.0],
        )
        first, second, third = events(open_log(path))
        assert isinstance(first, Interaction)
        assert isinstance(second, Interaction)
        assert (first.value, second.value) == (1.0, 1.0)
        assert isinstance(third, Rejected)
        assert (third.source, str(third.reason), third.field) == ("e.parquet:3", "missing field", "user")

    def test_columns_of_other_names_are_mapped(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "e.parquet", who=["ann"], item=["tea"], timestamp=[1.0])
        assert [event.source for event in events(open_log(path, {"user": "who"}))] == ["e/0/0"]
        with pytest.raises(LogError, match=r"e\.parquet: expected the columns user.*missing user"):
            open_log(path)

    def test_parquet_is_merged_with_csv(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "e.parquet", user=["ann", "bob"], item=["tea", "tea"], timestamp=[1, 3])
        other = write(tmp_path / "f.csv", "cat,tea,2")
        assert [user for _, user in topics_and_users(open_logs([path, other]))] == ["ann", "cat", "bob"]

    @pytest.mark.parametrize(
        ("columns", "said"),
        [
            ({"user": [1.5]}, r"column 'user': expected text or whole numbers for the field user; found double"),
            ({"timestamp": [True]}, r"column 'timestamp': expected a time, number or text"),
            ({"value": ["x"]}, r"column 'value': expected a number"),
        ],
    )
    def test_a_column_that_cannot_hold_its_field_is_named(
        self, tmp_path: Path, columns: dict[str, Any], said: str
    ) -> None:
        path = self.table(tmp_path / "e.parquet", **{"user": ["ann"], "item": ["tea"], "timestamp": [1.0], **columns})
        with pytest.raises(LogError, match=said):
            open_log(path)

    def test_a_file_that_is_cut_is_refused(self, tmp_path: Path) -> None:
        path = self.table(tmp_path / "e.parquet", user=["ann"], item=["tea"], timestamp=[1.0])
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(LogError, match=r"e\.parquet: expected a Parquet file"):
            open_log(path)

    def test_damaged_parquet_gives_the_rows_before_the_damage(self, tmp_path: Path) -> None:
        rows = 40_000
        path = self.table(
            tmp_path / "e.parquet",
            row_group=10_000,
            user=[f"user{n}" for n in range(rows)],
            item=[f"item{n * 7919 % 100_003}" for n in range(rows)],
            timestamp=list(range(rows)),
        )
        data = bytearray(path.read_bytes())
        data[len(data) * 3 // 5 : len(data) * 3 // 5 + 4_000] = b"\xff" * 4_000
        path.write_bytes(data)
        log = open_log(path)
        whole = len(list(records(log)))
        assert 10_000 <= whole < rows
        assert "expected a whole file; the file is broken about row" in (log.source.damage or "")

    def test_missing_pyarrow_is_one_line_with_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.table(tmp_path / "e.parquet", user=["ann"], item=["tea"], timestamp=[1.0])
        monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
        with pytest.raises(LogError, match=r"pip install 'freshrank\[parquet\]'"):
            open_log(path)
