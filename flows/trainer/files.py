"""Files between the job and its trainer: work, weights, and a manifest that makes the weights valid."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.state.atomic_files import write_whole
from recmodels.slow.options import SlowOptions
from recmodels.slow.work import Trained, Work

FORMAT: Final = 1
"""Version of the files."""
OPTIONS: Final = "options"


class Manifest(msgspec.Struct, frozen=True):
    """What is known of weights that are complete."""

    format: int
    digest: int
    """Number of the work."""
    number: int
    """Number of events that the model had learned when the data were taken."""
    sha256: str
    """Of the file with the weights."""
    loss: float
    """Loss at the end of the training."""
    steps: int
    cpu_seconds: float


class WorkFiles:
    """The files of a directory.

    Args:
        directory: The directory. It is created if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory

    def path(self, kind: str, digest: int) -> Path:
        """Return the path of a file: `work`, `weights`, `manifest` or `lock`."""
        return self.directory / f"{kind}-{digest:016x}"

    def write_work(self, work: Work, options: SlowOptions, digest: int) -> None:
        """Write work, and delete the files of any other."""
        for path in self.directory.iterdir():
            if not path.name.endswith(f"-{digest:016x}"):
                path.unlink(missing_ok=True)
        said = np.frombuffer(msgspec.json.encode(asdict(options)), np.uint8)
        _write(self.path("work", digest), {**work.arrays(), OPTIONS: said})

    def read_work(self, digest: int) -> tuple[Work, SlowOptions]:
        """Read work and the options to train it by."""
        arrays = _read(self.path("work", digest))
        said = msgspec.json.decode(arrays.pop(OPTIONS).tobytes())
        said["swaps"] = tuple(tuple(swap) for swap in said["swaps"])
        return Work.of_arrays(arrays), SlowOptions(**said)

    def write_weights(self, trained: Trained, number: int, digest: int, cpu_seconds: float) -> None:
        """Write weights and then their manifest: without it they do not count."""
        path = self.path("weights", digest)
        _write(path, trained.arrays())
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest = Manifest(FORMAT, digest, number, sha256, trained.loss, trained.steps, cpu_seconds)
        write_whole(self.path("manifest", digest), lambda new: new.write_bytes(msgspec.json.encode(manifest)))

    def is_done(self, digest: int) -> bool:
        """Say whether the weights of a work are complete."""
        return self.path("manifest", digest).exists()

    def read_weights(self, digest: int) -> Trained | None:
        """Read the weights of a work. None: there are none, or they are damaged or of another version."""
        try:
            manifest = msgspec.json.decode(self.path("manifest", digest).read_bytes(), type=Manifest)
            path = self.path("weights", digest)
            if (manifest.format, manifest.digest) != (FORMAT, digest):
                return None
            if hashlib.sha256(path.read_bytes()).hexdigest() != manifest.sha256:
                return None
            return Trained.of_arrays(_read(path))
        except (OSError, msgspec.MsgspecError):
            return None

    def drop_weights(self, digest: int) -> None:
        """Delete the weights of a work, so that they are trained anew."""
        for kind in ("manifest", "weights"):
            self.path(kind, digest).unlink(missing_ok=True)


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    def write(new: Path) -> None:
        with new.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())

    write_whole(path, write)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
