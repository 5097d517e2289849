"""A real Redis or Valkey server for tests, on a free port of 127.0.0.1."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis

NAMES = ("redis-server", "valkey-server")


class RedisServer:
    """One server with a directory of its own, that a test can end and start again.

    Raises:
        FileNotFoundError: There is none on this machine.
    """

    def __init__(self, directory: Path) -> None:
        program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if program is None:
            raise FileNotFoundError("neither redis-server nor valkey-server is on the PATH")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(directory)]
        self._command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again on the same data, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 120
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Redis did not answer within 120 s"
                time.sleep(0.02)
        client.close()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(120)
            self._process = None
