"""Inputs of a replay: logs merged by time, and sorted logs."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import LogError
from flows.evaluation.log_scan import scan_log
from flows.evaluation.protocol import Protocol
from flows.files.inputs import find_files, open_logs
from flows.files.merge import MergedSource, decode_marked
from flows.files.open_log import Log, open_log
from flows.files.sort import SortedSource
from flows.messages import Event, Interaction, Raw, Rejected
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.read_logs import events, records, topics_and_users, write


class TestMerging:
    def test_events_come_by_time_and_those_of_one_time_in_the_order_of_the_files(self, tmp_path: Path) -> None:
        first = write(tmp_path / "a.csv", "ann,tea,1", "bob,tea,3", "cat,tea,3")
        second = tmp_path / "b.jsonl"
        second.write_text(
            '{"user": "dan", "item": "tea", "timestamp": 0}\n{"user": "eve", "item": "tea", "timestamp": 3}\n'
        )
        assert topics_and_users(open_logs([first, second])) == [
            ("b/0/0", "dan"), ("a/0/0", "ann"), ("a/0/1", "bob"), ("a/0/2", "cat"), ("b/0/1", "eve"),
        ]  # fmt: skip
        assert [user for _, user in topics_and_users(open_logs([second, first]))] == ["dan", "ann", "eve", "bob", "cat"]

    def test_a_pattern_names_its_files_in_order(self, tmp_path: Path) -> None:
        for day in (2, 1, 10):
            write(tmp_path / f"clicks-{day:02}.csv", f"u{day},tea,{day}")
        (tmp_path / "clicks-01.csv.positions").write_text("not a log")
        (tmp_path / "clicks-99").mkdir()
        pattern = str(tmp_path / "clicks-*")
        assert [file.name for file in find_files(pattern)] == ["clicks-01.csv", "clicks-02.csv", "clicks-10.csv"]
        assert [user for _, user in topics_and_users(open_logs(pattern))] == ["u1", "u2", "u10"]

    def test_flow_decodes_each_record_of_merged_logs_once(self, tmp_path: Path) -> None:
        paths = [write(tmp_path / f"{name}.csv", "ann,tea,1", "no record", "bob,tea,3") for name in "ab"]
        decoded: list[str] = []

        def counted(log: Log) -> Log:
            def decode(raw: Raw, arrived: float) -> Event | Rejected:
                decoded.append(raw.source)
                return log.decoder(raw, arrived)

            return Log(log.source, decode)

        logs = [counted(open_log(path)) for path in paths]
        merged = Log(MergedSource(logs, "both"), decode_marked)
        got = [merged.decoder(raw, 7.5) for raw in records(merged)]
        assert [each.arrived for each in got if isinstance(each, Interaction)] == [7.5] * 4
        assert sum(isinstance(each, Rejected) for each in got) == 2
        assert sorted(decoded) == sorted(f"{name}/0/{n}" for name in "ab" for n in range(3))

    def test_files_of_one_name_are_partitions(self, tmp_path: Path) -> None:
        logs = [write(tmp_path / day / "clicks.csv", f"{day},tea,{n}") for n, day in enumerate(("mon", "tue"))]
        assert topics_and_users(open_logs(logs)) == [("clicks/0/0", "mon"), ("clicks/1/0", "tue")]

    def test_merge_reads_logs_in_constant_memory(self, tmp_path: Path) -> None:
        logs = [write(tmp_path / f"{n}.csv", *(f"u{i},i,{i}" for i in range(50_000))) for n in range(3)]
        log = open_logs(logs, batch_size=10)
        part = log.source.build_part("test", "log", None)
        part.next_batch()
        reading = part._reading  # type: ignore[attr-defined]
        assert reading.consumed <= 3 * 65_536 < reading.size / 5

    @pytest.mark.slow
    def test_the_lists_are_those_of_the_whole(self, tmp_path: Path) -> None:
        lines = gzip.decompress(EVENTS.read_bytes()).decode().splitlines()[: 3_000 + 1]
        random.Random(1).shuffle(shares := [n % 3 for n in range(3_000)])
        for share in range(3):
            rows = [row for row, own in zip(lines[1:], shares, strict=True) if own == share]
            write(tmp_path / f"part-{share}.csv", *rows, header=lines[0])
        options: dict[str, Any] = {"settings": Settings(model="history", repeats="exclude")}
        whole = replay(EVENTS, limit=3_000, **options)
        merged = replay(str(tmp_path / "part-*.csv"), **options)
        assert merged.counters.learned == 3_000
        # Where two events have the same second, the files decide which comes first.
        assert merged.metrics["hit_rate@10"] == pytest.approx(whole.metrics["hit_rate@10"], abs=0.01)

    def test_a_log_that_is_not_sorted_is_named_with_its_line(self, tmp_path: Path) -> None:
        good = write(tmp_path / "good.csv", "ann,tea,1", "bob,tea,9")
        bad = write(tmp_path / "bad.csv", "ann,tea,5", "oops", "bob,tea,4")
        with pytest.raises(
            LogError, match=r"bad\.csv:4: expected a log sorted by time.* is 4\.000, after one of 5\.000"
        ):
            replay([good, bad])

    def test_a_record_that_is_no_event_is_rejected_by_its_own_name(self, tmp_path: Path) -> None:
        logs = [write(tmp_path / "a.csv", "ann,tea,1", "oops"), write(tmp_path / "b.csv", "bob,tea,0")]
        assert [event.source for event in events(open_logs(logs))] == ["b/0/0", "a/0/0", "a.csv:3"]

    def test_damaged_log_is_reported_after_the_others_are_read(self, tmp_path: Path) -> None:
        cut = tmp_path / "cut.csv.gz"
        cut.write_bytes(EVENTS.read_bytes()[:50_000])
        whole = write(tmp_path / "whole.csv", *(f"u{n},tea,{2e9 + n}" for n in range(100)))
        result = replay([cut, whole], Settings(model="history"))
        assert result.damage is not None
        assert "cut.csv.gz: expected a whole file; the file is cut short" in result.damage
        assert result.counters.learned > 4_000

    @pytest.mark.parametrize(
        ("paths", "said"),
        [
            ([], "none is named"),
            (["no-such-*.csv"], r"no-such-\*\.csv: expected logs; no file matches"),
            ([str(EVENTS), str(EVENTS)], "named twice"),
        ],
    )
    def test_paths_without_logs_are_refused(self, paths: list[str], said: str) -> None:
        with pytest.raises(LogError, match=said):
            open_logs(paths)

    def test_a_replay_of_several_resumes(self, tmp_path: Path) -> None:
        logs = [write(tmp_path / f"{n}.csv", *(f"u{i % 7},i{i % 5},{2 * i + n}" for i in range(50))) for n in (0, 1)]
        settings = Settings(recovery=tmp_path / "state", model="history")
        outs = [tmp_path / "whole.jsonl", tmp_path / "twice.jsonl"]
        replay(logs, Settings(model="history"), out=outs[0])
        replay(logs, settings, limit=60, out=outs[1])
        replay(logs, settings, out=outs[1])
        assert outs[1].read_bytes() == outs[0].read_bytes()


class TestSorting:
    ROWS = ("ann,tea,5", "oops", "bob,tea,3", "cat,tea,5", "dan,tea,1")

    def test_sort_is_stable_and_keeps_positions(self, tmp_path: Path) -> None:
        log = open_logs(write(tmp_path / "e.csv", *self.ROWS), sort=True)
        assert topics_and_users(log) == [
            ("e/0/4", "dan"), ("e/0/2", "bob"), ("e/0/0", "ann"), ("e.csv:3", ""), ("e/0/3", "cat"),
        ]  # fmt: skip
        assert topics_and_users(log) == topics_and_users(log), "it can be read again"

    def test_a_replay_of_a_sorted_log_has_no_late_events(self, tmp_path: Path) -> None:
        path = write(tmp_path / "e.csv", *self.ROWS)
        assert replay(path, Settings(model="history")).counters.late == 2
        assert replay(path, Settings(model="history"), sort=True).counters.late == 0

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.lists(st.integers(0, 5), max_size=30), min_size=1, max_size=3), st.integers(1, 2_000))
    def test_sort_on_disk_equals_sort_in_memory(
        self, tmp_path_factory: pytest.TempPathFactory, times: list[list[int]], run_bytes: int
    ) -> None:
        directory = tmp_path_factory.mktemp("logs")
        logs = [
            open_log(write(directory / f"{n}.csv", *(f"u{i},i,{time}" for i, time in enumerate(one))))
            for n, one in enumerate(times)
        ]
        source = SortedSource(logs, "logs", run_bytes=run_bytes)
        got = [raw.source for raw in records(Log(source, decode_marked))]
        order = sorted((time, n, i) for n, one in enumerate(times) for i, time in enumerate(one))
        assert got == [f"{n}/0/{i}" for _, n, i in order]

    @pytest.mark.slow
    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        import tracemalloc

        path = write(tmp_path / "e.csv", *(f"u{n % 99},i{n},{n * 7919 % 100_003}" for n in range(60_000)))
        tracemalloc.start()
        source = SortedSource([open_log(path)], "e", run_bytes=1_000_000)
        last = -1.0
        for raw in records(Log(source, decode_marked)):
            time = float((raw.value or b"").rpartition(b",")[2])
            assert time >= last
            last = time
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6_000_000, "all at once are 20 MB"


class TestSurvey:
    def test_scan_names_the_first_record_out_of_order(self, tmp_path: Path) -> None:
        path = write(tmp_path / "e.csv", "ann,tea,1", "bob,tea,3", "cat,tea,2", "dan,tea,1")
        found = scan_log(open_log(path), Settings(), Protocol())
        assert (found.events, list(found.items)) == (4, ["tea"])
        with pytest.raises(LogError, match=r"e\.csv:4: expected a log sorted by time.*--sort"):
            found.expect_sorted()
        scan_log(open_logs(path, sort=True), Settings(), Protocol()).expect_sorted()

    def test_scan_counts_the_events_of_the_replay(self, write_log: Callable[..., Path]) -> None:
        path = write_log(
            [
                '{"user": "ann", "item": "tea", "timestamp": 1, "id": "e1"}',
                '{"user": "ann", "item": "tea", "timestamp": 1, "id": "e1"}',
                '{"user": "ann"}',
                '{"kind": "item", "item": "pie", "timestamp": 2, "available": true}',
                '{"user": "bob", "item": "jam", "timestamp": 3, "value": 0}',
            ]
        )
        for protocol in (Protocol(), Protocol(where="value > 0")):
            found = scan_log(open_log(path), Settings(), protocol)
            assert found.events == replay(path, Settings(model="history"), protocol=protocol).counters.learned
