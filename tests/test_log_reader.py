"""A log reads alike in every format; what is no log is refused; damage costs no whole line before it."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import bytewax.operators as op
import orjson
import pytest
import zstandard
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from hypothesis import given
from hypothesis import strategies as st

from flows.compression import Pieces
from flows.decode import decode
from flows.fields import MAX_RECORD_BYTES, Reason
from flows.log_file import Log, LogError, fields_of_columns, open_log
from flows.log_reader import LogSource, blocks_of_lines
from flows.messages import Event, Interaction, Raw, Rejected

HEADER = b"user,item,timestamp,event,value\n"


def fields(n: int) -> dict[str, str | float]:
    # Random digits keep the compressed file long: damage in its middle has whole pieces before it.
    rng = random.Random(n)
    return {
        "user": f"u{rng.getrandbits(64)}",
        "item": f"i{n}",
        "timestamp": 1.5e9 + n,
        "event": "click",
        "value": rng.random(),
    }


def csv_line(n: int) -> bytes:
    return ",".join(map(str, fields(n).values())).encode() + b"\n"


def as_csv(count: int) -> bytes:
    return HEADER + b"".join(map(csv_line, range(count)))


def as_jsonl(count: int) -> bytes:
    return b"".join(orjson.dumps(fields(n)) + b"\n" for n in range(count))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def records(source: LogSource, offset: int | None = None) -> list[Raw]:
    part = source.build_part("log", "log", offset)
    found: list[Raw] = []
    while True:
        try:
            found += part.next_batch()
        except StopIteration:
            return found


def events(log: Log) -> list[Event | Rejected]:
    return [log.decoder(raw, 0.0) for raw in records(log.source)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


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
    def test_all_hold_the_same_events(self, tmp_path: Path, name: str, data: bytes) -> None:
        log = open_log(write(tmp_path / name, data))
        found = events(log)
        assert log.source.damage is None
        assert found == [
            Interaction(**fields(n), source=f"events/0/{n}")  # type: ignore[arg-type]
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
        assert events(log) == [Interaction("7", "9", 1e9, value=4.5, source="ratings/0/0")]

    def test_a_log_of_no_events(self, tmp_path: Path) -> None:
        assert events(open_log(write(tmp_path / "events.csv", HEADER))) == []


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("events.csv", b"", "the file is empty"),
            ("events.csv.gz", gzip.compress(b""), "the file is empty"),
            ("events.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary file"),
            ("events.csv", as_csv(1).decode().encode("utf-16"), "binary file"),
            ("events", b"PK\x03\x04\x14\0\0\0", "binary file"),
            ("events.csv.gz", as_csv(1), "expected gz data as the name says; the file begins with b'user'"),
            ("events.jsonl.zst", gzip.compress(as_jsonl(1))[:5], "the file is cut short, about byte 5 of 5"),
            ("events.csv.gz", b"\x1f\x8bnonsense", "the file is broken"),
            ("events.csv", b"\xe9tat,user,item,timestamp\n", "text that is not UTF-8"),
            ("events.csv", b'user,"item,timestamp\n', "malformed line"),
            ("events.json", b'[{"user": "u1"}]', "this is a JSON array. Convert it: jq"),
            ("events", b'  [{"user": "u1"}]', "this is a JSON array"),
            ("settings.toml", b"[log]\n", r"missing user, item, timestamp"),
            ("events.csv", b"\n\n", "found an empty line; missing user"),
        ],
    )
    def test_a_file_that_is_no_log(self, tmp_path: Path, name: str, data: bytes, message: str) -> None:
        path = write(tmp_path / name, data)
        with pytest.raises(LogError, match=message) as error:
            open_log(path)
        assert str(path) in str(error.value)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(LogError, match=r"events\.csv: expected an event log.*no such file"):
            open_log(tmp_path / "events.csv")
        with pytest.raises(LogError, match="no such file"):
            open_log(write(tmp_path / "file", b"x") / "events.csv")

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(LogError, match="this is a directory"):
            open_log(tmp_path)

    def test_a_path_no_system_takes(self) -> None:
        with pytest.raises(LogError, match="cannot be read"):
            open_log("events\0.csv")

    def test_an_unreadable_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        path = write(tmp_path / "events.csv", as_csv(1))
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(LogError, match="Permission denied"):
            open_log(path)

    def test_no_map_for_json(self, tmp_path: Path) -> None:
        path = write(tmp_path / "events.jsonl", as_jsonl(1))
        with pytest.raises(LogError, match="Leave --map out"):
            open_log(path, map={"user": "userId"})

    @pytest.mark.parametrize(
        ("header", "mapped", "message"),
        [
            (
                "userId,movieId,rating,timestamp",
                {},
                "found userId, movieId, rating, timestamp; missing user, item. "
                "Say which columns hold them: --map user=userId --map item=COLUMN",
            ),
            ("196,242,3", {}, "missing user, item, timestamp"),
            ("user,item,time", {}, "--map timestamp=COLUMN"),
            ("user,item,timestamp", {"user": "userId"}, "there is no column 'userId'; found user, item"),
            ("user,item,timestamp", {"usr": "user"}, "expected one of the fields user, item, .* found 'usr'"),
            ("user,item,user,timestamp", {}, "'user' is there twice"),
            ("x,timestamp", {"user": "x", "item": "x"}, "'x' is there twice"),
            ("user,timestamp", {"item": "user"}, "missing user"),
        ],
    )
    def test_a_header_that_cannot_be_mapped(self, header: str, mapped: dict[str, str], message: str) -> None:
        with pytest.raises(LogError, match=message) as error:
            fields_of_columns("ratings.csv:1", header.split(","), mapped)
        assert "ratings.csv:1: " in str(error.value) or "--map" in str(error.value)


class TestDamage:
    """What is whole before the damage is delivered; what is cut is not."""

    def check(self, path: Path, whole: bytes, message: str) -> None:
        log = open_log(path)
        found = records(log.source)
        lines = whole.split(b"\n")[1:-1]  # without the header, and without what follows the last newline
        assert lines
        assert [raw.value for raw in found] == lines
        assert log.source.damage is not None
        assert message in log.source.damage
        assert f"The {len(lines):,} whole records" in log.source.damage
        assert f"of {path.stat().st_size:,}" in log.source.damage

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.999])
    def test_truncated_gzip(self, tmp_path: Path, keep: float) -> None:
        data = gzip.compress(as_csv(3000))
        data = data[: int(len(data) * keep)]
        self.check(write(tmp_path / "e.csv.gz", data), zlib.decompressobj(31).decompress(data), "is cut short")

    def test_gzip_without_its_checksum(self, tmp_path: Path) -> None:
        data = gzip.compress(as_csv(3000))[:-8]
        self.check(write(tmp_path / "e.csv.gz", data), as_csv(3000), "is cut short")

    @pytest.mark.parametrize("keep", [0.6, 0.999])
    def test_truncated_zstd(self, tmp_path: Path, keep: float) -> None:
        data = zstd(as_csv(10_000))
        data = data[: int(len(data) * keep)]
        whole = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        self.check(write(tmp_path / "e.csv.zst", data), whole, "is cut short")

    def test_garbage_after_a_member(self, tmp_path: Path) -> None:
        for name, data in (("e.csv.gz", gzip.compress(as_csv(3000))), ("e.csv.zst", zstd(as_csv(3000)))):
            self.check(write(tmp_path / name, data + b"garbage" * 500), as_csv(3000), "is broken")

    @pytest.mark.parametrize("member", [0, 1])
    def test_gzip_that_breaks_midway(self, tmp_path: Path, member: int) -> None:
        # A block of the reserved type ends what can be decompressed at a known byte.
        start = zlib.compressobj(wbits=31)
        good = start.compress(as_csv(200)) + start.flush(zlib.Z_FULL_FLUSH)
        before = gzip.compress(HEADER) if member else b""
        whole = as_csv(200)
        path = write(tmp_path / "e.csv.gz", before + good + b"\xff" * 5000)
        self.check(path, HEADER * member + whole, "is broken")

    def test_the_flow_ends_well_at_the_damage(self, tmp_path: Path) -> None:
        log = open_log(write(tmp_path / "e.csv.gz", gzip.compress(as_csv(3000))[:-4]))
        found: list[Event] = []
        flow = Dataflow("damage")
        out = decode("decode", op.input("log", flow, log.source), log.decoder)
        op.output("events", out.events, TestingSink(found))
        run_main(flow)  # type: ignore[no-untyped-call]  # bytewax does not type it
        assert len(found) == 3000
        assert log.source.damage is not None

    def test_a_disk_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = open_log(write(tmp_path / "e.csv", as_csv(3000)))
        read = Pieces._read

        def fail(self: Pieces, file: object, count: int) -> bytes:
            if self.consumed:
                raise OSError(5, "Input/output error")
            return read(self, file, count)  # type: ignore[arg-type]

        monkeypatch.setattr(Pieces, "_read", fail)
        assert [raw.offset for raw in records(log.source)] == list(range(as_csv(3000)[:65536].count(b"\n") - 1))
        assert log.source.damage is not None
        assert "Input/output error" in log.source.damage


class TestPlaces:
    def test_rejects_name_file_and_line(self, tmp_path: Path) -> None:
        data = HEADER + csv_line(1) + b"\nu,i,never,,\n" + csv_line(2) + b'"u\n1",i,5,,\n'
        log = open_log(write(tmp_path / "events.csv.gz", gzip.compress(data)))
        found = events(log)
        assert [(r.source, r.reason) for r in found if isinstance(r, Rejected)] == [
            ("events.csv.gz:3", Reason.EMPTY_RECORD),
            ("events.csv.gz:4", Reason.NOT_A_TIME),
            ("events.csv.gz:6", Reason.MALFORMED_ROW),  # a newline in quotes makes two malformed rows
            ("events.csv.gz:7", Reason.MALFORMED_ROW),
        ]
        assert [e.source for e in found if not isinstance(e, Rejected)] == ["events/0/0", "events/0/3"]

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

    def test_a_bomb_is_read_in_pieces(self, tmp_path: Path) -> None:
        for name, data in (("b.gz", gzip.compress(bytes(2**27))), ("b.zst", zstd(bytes(2**27)))):
            assert max(map(len, Pieces(write(tmp_path / name, data)))) <= 2**25


@given(st.lists(st.text("ab\n").map(str.encode)))
def test_lines_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    expected = data.removesuffix(b"\n").split(b"\n") if data else []
    assert [line for block in blocks_of_lines(pieces) for line in block] == expected
