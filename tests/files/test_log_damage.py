"""Unreadable logs are refused. Damaged logs are read up to the damage."""

import gzip
import zlib
from pathlib import Path

import bytewax.operators as op
import pytest
import zstandard
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from flows.files.compression import Pieces
from flows.files.open_log import LogError, open_log
from flows.formats.csv_detection import fields_of_columns
from flows.messages import Event
from flows.steps.decode import decode
from tests.support.log_bytes import HEADER, as_csv, as_jsonl, records, write, zstd


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("events.csv", b"", "the file is empty"),
            ("events.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
            ("events.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary file"),
            ("events", b"PK\x03\x04\x14\0\0\0", "binary file"),
            ("events.csv.gz", as_csv(1), "expected gz data as the name says; the file begins with b'user'"),
            ("events.jsonl.zst", gzip.compress(as_jsonl(1), mtime=0)[:5], "the file is cut short, about byte 5 of 5"),
            ("events.csv.gz", b"\x1f\x8bnonsense", "the file is broken"),
            ("events.csv", b"\xe9tat,user,item,timestamp\n", "text that is not UTF-8"),
            ("events.csv", b'user,"item,timestamp\n', "hold no record"),
            ("events.json", b'[{"user": "u1"}]', "no record has item or timestamp; found user"),
            ("events", b'  [{"user": "u1"}]', "no record has item or timestamp"),
            ("settings.toml", b"[log]\n", r"missing user, item, timestamp"),
            ("events.csv", b"\n\n", "hold no record"),
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

    def test_a_name_that_no_json_record_has(self, tmp_path: Path) -> None:
        path = write(tmp_path / "events.jsonl", as_jsonl(1))
        with pytest.raises(LogError, match=r"--map user=userId: no record has 'userId'; found user, item"):
            open_log(path, map={"user": "userId"})

    @pytest.mark.parametrize(
        ("header", "mapped", "message"),
        [
            (
                "who,what,stars,when,user_name_2",
                {},
                "found who, what, stars, when, user_name_2; missing user, item, timestamp. "
                "Say which columns hold them: --map user=user_name_2 --map item=NAME --map timestamp=NAME",
            ),
            ("196,242,3", {}, "missing user, item, timestamp"),
            ("user,item,when", {}, "--map timestamp=NAME"),
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
    """Complete records before the damage are delivered, and the cut one is not."""

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
