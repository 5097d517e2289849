"""Reading of logs: every format gives the same events, and positions, limits and resuming hold."""

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.compression import Pieces
from flows.files.line_source import LogSource
from flows.files.open_log import open_log
from flows.formats.record_cutting import blocks_of_lines
from flows.formats.validation import MAX_RECORD_BYTES, Reason
from flows.messages import Interaction, Rejected
from tests.support.log_bytes import HEADER, as_csv, as_jsonl, csv_line, events, fields, records, write, zstd


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("events.csv", as_csv(3000)),
            ("events.csv", as_csv(3000)[:-1]),
            ("events.csv", b"\xef\xbb\xbf" + as_csv(3000).replace(b"\n", b"\r\n")),
            ("events.csv.gz", gzip.compress(as_csv(3000))),
            ("events.csv.gz", gzip.compress(as_csv(1000)) + gzip.compress(as_csv(3000)[len(as_csv(1000)) :])),
            ("events.csv.gz", gzip.compress(as_csv(3000)) + bytes(3000)),
            ("events.csv.zst", zstd(as_csv(3000))),
            ("events.csv.zst", zstd(as_csv(1000)) + zstd(as_csv(3000)[len(as_csv(1000)) :])),
            ("events.csv.zst", b"\x50\x2a\x4d\x18\x02\0\0\0ab" + zstd(as_csv(3000))),
            ("events.jsonl", as_jsonl(3000)),
            ("events.jsonl", b"\xef\xbb\xbf" + as_jsonl(3000).replace(b"\n", b"\r\n")),
            ("events.jsonl.gz", gzip.compress(as_jsonl(3000))),
            ("events.ndjson.zst", zstd(as_jsonl(3000))),
            ("events.json", as_jsonl(3000)),
            ("events", as_csv(3000)),
            ("events", as_jsonl(3000)),
            ("events", gzip.compress(as_jsonl(3000))),
            ("events", zstd(as_csv(3000))),
        ],
    )
    def test_every_format_holds_the_same_events(self, tmp_path: Path, name: str, data: bytes) -> None:
        log = open_log(write(tmp_path / name, data))
        found = events(log)
        assert log.source.damage is None
        assert found == [
            Interaction(**fields(n), at=("events", 0, n))  # type: ignore[arg-type]
            for n in range(3000)
        ]

    @pytest.mark.parametrize(
        ("name", "topic"),
        [("my.events.csv.gz", "my.events"), ("a.jsonl.zst", "a"), ("a.log", "a.log"), (".csv", ".csv")],
    )
    def test_the_topic_is_the_name_without_endings(self, name: str, topic: str) -> None:
        assert LogSource(Path("logs") / name).topic == topic

    def test_a_mapped_header(self, tmp_path: Path) -> None:
        data = b'userId,movieId,rating,"timestamp",user\n7,9,4.5,1e9,?\n'
        path = write(tmp_path / "ratings.csv", data)
        log = open_log(path, map={"user": "userId", "item": "movieId", "value": "rating"})
        assert events(log) == [Interaction("7", "9", 1e9, value=4.5, at=("ratings", 0, 0))]

    def test_a_log_of_no_events(self, tmp_path: Path) -> None:
        assert events(open_log(write(tmp_path / "events.csv", HEADER))) == []


class TestPlaces:
    def test_rejects_name_file_and_line(self, tmp_path: Path) -> None:
        data = HEADER + csv_line(1) + b"\nu,i,never,,\n" + csv_line(2) + b'"u\n1",i,5,,\n'
        log = open_log(write(tmp_path / "events.csv.gz", gzip.compress(data)))
        found = events(log)
        assert [(r.source, r.reason) for r in found if isinstance(r, Rejected)] == [
            ("events.csv.gz:3", Reason.EMPTY_RECORD),
            ("events.csv.gz:4", Reason.NOT_A_TIME),
        ]
        assert [e.source for e in found if not isinstance(e, Rejected)] == ["events/0/0", "events/0/3", "events/0/4"]
        assert found[-1].user == "u\n1", "a record may hold a newline in quotes"

    def test_json_lines_count_from_the_first(self, tmp_path: Path) -> None:
        log = open_log(write(tmp_path / "events.jsonl", b"{}\n" + as_jsonl(1)))
        assert events(log)[0].source == "events.jsonl:1"
        assert events(log)[1].source == "events/0/1"


class TestPosition:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        return write(tmp_path / "events.csv.zst", zstd(as_csv(50)))

    @pytest.mark.parametrize("offset", [0, 1, 7, 49, 50, 60])
    def test_resume_from_an_offset(self, log: Path, offset: int) -> None:
        source = open_log(log).source
        assert records(source, offset) == records(source)[offset:]

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_the_state_is_the_next_offset(self, log: Path, batch_size: int) -> None:
        source = open_log(log, batch_size=batch_size).source
        part = source.build_part("log", "log", 5)
        assert part.snapshot() == 5
        last = list(part.next_batch())[-1]
        assert part.snapshot() == last.offset + 1 == min(5 + batch_size, 50)

    @pytest.mark.parametrize(("offset", "count"), [(None, 20), (5, 15), (20, 0), (30, 0)])
    def test_the_limit_counts_from_the_start_of_the_log(self, log: Path, offset: int | None, count: int) -> None:
        assert len(records(open_log(log, limit=20).source, offset)) == count

    def test_progress(self, log: Path) -> None:
        told: list[tuple[int, int, int]] = []
        records(open_log(log, batch_size=20, progress=lambda *where: told.append(where)).source)
        assert [offset for _, _, offset in told] == [20, 40, 50, 50]
        assert told[-1][0] == told[-1][1] == log.stat().st_size


class TestStreaming:
    @pytest.mark.parametrize(
        ("name", "compress", "ahead"),
        [("e.csv", bytes, 65536), ("e.csv.gz", gzip.compress, 1024), ("e.csv.zst", zstd, 1024)],
    )
    def test_reads_no_further_than_it_must(
        self, tmp_path: Path, name: str, compress: Callable[[bytes], bytes], ahead: int
    ) -> None:
        path = write(tmp_path / name, compress(as_csv(20_000)))
        part = open_log(path, batch_size=10).source.build_part("log", "log", None)
        assert len(list(part.next_batch())) == 10
        consumed = part._reading.consumed
        block = 131_072 if name.endswith("zst") else 0  # zstd gives nothing before a block is whole
        assert consumed <= ahead + block
        assert consumed < path.stat().st_size / 4

    def test_a_line_without_end_is_cut(self) -> None:
        piece = b"x" * 2**20
        tracemalloc.start()

        def pieces() -> Iterator[bytes]:
            yield b"first\n"
            for _ in range(1024):
                yield piece
            yield b"\nlast"

        lines = [line for block in blocks_of_lines(pieces()) for line in block]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [len(line) for line in lines] == [5, MAX_RECORD_BYTES + 1, 4]
        assert peak < 4 * MAX_RECORD_BYTES

    def test_a_line_too_long_is_rejected_and_its_neighbours_are_not(self, tmp_path: Path) -> None:
        data = HEADER + csv_line(1) + b"u" * (MAX_RECORD_BYTES + 99) + b"," + csv_line(2) + csv_line(3)
        found = events(open_log(write(tmp_path / "e.csv.gz", gzip.compress(data))))
        assert [getattr(f, "reason", "good") for f in found] == ["good", Reason.RECORD_TOO_LONG, "good"]

    @pytest.mark.slow
    def test_a_bomb_is_read_in_pieces(self, tmp_path: Path) -> None:
        for name, data in (("b.gz", gzip.compress(bytes(2**27))), ("b.zst", zstd(bytes(2**27)))):
            assert max(map(len, Pieces(write(tmp_path / name, data)))) <= 2**25


@given(st.lists(st.text("ab\n").map(str.encode)))
def test_lines_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    expected = data.removesuffix(b"\n").split(b"\n") if data else []
    assert [line for block in blocks_of_lines(pieces) for line in block] == expected
