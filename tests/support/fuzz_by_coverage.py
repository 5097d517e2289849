"""Fuzzing by coverage with atheris, run by hand: what decodes records, and what reads state files.

```console
$ .venv/bin/pip install -e '.[fuzz]'
$ .venv/bin/python -m tests.support.fuzz_by_coverage decode -runs=1000000
$ .venv/bin/python -m tests.support.fuzz_by_coverage state -runs=1000000
```

It ends with a stack trace and a file `crash-…` that holds the input if anything is raised that should not be. Further
arguments are libFuzzer's. `test_fuzz.py` does the same with inputs of a known shape, and in CI.
"""

import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import atheris
except ImportError:
    sys.exit("expected atheris, which is not installed; install it: pip install -e '.[fuzz]'")

with atheris.instrument_imports(include=["flows"]):
    from flows.formats.csv_events import CsvDecoder
    from flows.formats.json_events import JsonDecoder
    from flows.messages import Raw, Rejected
    from flows.state.record_file import FORMAT, MAGIC, StoreError, read_records

DECODERS = (JsonDecoder(), CsvDecoder(["user", "item", "timestamp", "event", "value"]))


def decode(data: bytes) -> None:
    """Decode a record. A reject keeps its bytes."""
    for decoder in DECODERS:
        decoded = decoder(Raw("events", 0, 0, data), 0.0)
        assert not isinstance(decoded, Rejected) or decoded.raw == data


def state(data: bytes) -> None:
    """Read a state file: of the bytes as they are, and of a record around them whose checksum is right."""
    cut = data[0] if data else 0
    header, body = data[1 : 1 + cut], data[1 + cut :]
    start = MAGIC + bytes([FORMAT]) + len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little")
    record = start + header + body
    for content in (data, record + zlib.crc32(record).to_bytes(4, "little")):
        FILE.write_bytes(content)
        try:
            list(read_records(FILE, len(content)))
        except StoreError:
            continue


TARGETS: dict[str, Callable[[bytes], None]] = {"decode": decode, "state": state}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"expected one of {', '.join(TARGETS)} as the first argument; got {sys.argv[1:2]}")
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        FILE = Path(directory) / "1.log"
        atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
        atheris.Fuzz()
