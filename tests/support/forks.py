"""Processes of `freshrank` that start at once: forks of one that has imported everything and loaded the kernels.

A new interpreter takes 3 s of a core before it does anything. Tests that kill, end and start jobs again and again start
them here. A fork has memory, signals, files and an end of its own, as any process. It shares the seed of Python's
hashes with the other forks of a test process: where that matters, start an interpreter, as `tests.support.gate` can.
"""

import atexit
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import orjson

ROOT = Path(__file__).parent.parent.parent
LENGTH, NUMBER = 4, 4
"""Bytes of the length of a request, and of a number on the pipe that tells the process's id and its end."""


class Process:
    """A process that `start` has started. It has what tests use of `subprocess.Popen`."""

    def __init__(self, args: list[str], told: int, stdin: int | None, stdout: int | None, stderr: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self.stdin = None if stdin is None else os.fdopen(stdin, "w")
        self.stdout = None if stdout is None else os.fdopen(stdout)
        self.stderr = os.fdopen(stderr)
        self._told = told
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit status."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return status

    def communicate(self, timeout: float = 600.0) -> tuple[str, str]:
        """Close its input, wait for its end, and return the rest of its output and of its errors."""
        deadline = time.monotonic() + timeout
        if self.stdin is not None:
            with suppress(BrokenPipeError):
                self.stdin.close()
        said = ["", ""]

        def read(place: int, pipe: TextIO) -> None:
            said[place] = pipe.read()
            pipe.close()

        pipes = [(place, pipe) for place, pipe in enumerate((self.stdout, self.stderr)) if pipe and not pipe.closed]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in pipes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(max(deadline - time.monotonic(), 0.0))
        self.wait(max(deadline - time.monotonic(), 0.0))
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = self._number()
            os.close(self._told)
        return self.returncode

    def _number(self) -> int:
        read = os.read(self._told, NUMBER)
        assert len(read) == NUMBER, "the process that forks has ended"
        return int.from_bytes(read, signed=True)


def start(
    *arguments: object,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    gate: int | None = None,
    file_bytes: int = -1,
) -> Process:
    """Start `freshrank` with some arguments. Its errors can be read.

    Args:
        *arguments: What follows `freshrank` on the command line.
        cwd: Working directory.
        env: Its environment. That of this process where there is none.
        gate: Event at which it waits, from 1, as `tests.support.gate` says. Then its input and output are pipes, too.
        file_bytes: Length of a file above which the kernel takes no more, as of a full disk. -1: there is none.
    """
    words = [str(argument) for argument in arguments]
    asked = {"arguments": words, "cwd": str(cwd), "env": env or dict(os.environ), "gate": gate}
    request = orjson.dumps(asked | {"file_bytes": file_bytes})
    told, tell = os.pipe()
    said, say = os.pipe()
    given, ours = [0, 1, say, tell], [say, tell]
    stdin = stdout = None
    if gate is not None:
        (given[0], stdin), (stdout, given[1]) = os.pipe(), os.pipe()
        ours += given[:2]
    parent = _parent()
    socket.send_fds(parent, [len(request).to_bytes(LENGTH)], given)
    parent.sendall(request)
    for each in ours:
        os.close(each)
    return Process(["freshrank", *words], told, stdin, stdout, said)


@cache
def _parent() -> socket.socket:
    """Start the process that forks. It ends with this one."""
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "tests.support.forks", str(its.fileno())]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, pass_fds=[its.fileno()])
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main(connection: socket.socket) -> None:
    """Fork for each request until there are no more."""
    import flows.commands.job
    import flows.commands.replay
    import flows.job.run  # noqa: F401
    from flows import cli
    from recmodels.fused.warm_up import warm_up
    from tests.support.gate import put_gate

    os.fsync = lambda file: None  # type: ignore[assignment]  # what a killed process has written is the kernel's: here it would only cost time
    warm_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        header, given, *_ = socket.recv_fds(connection, LENGTH, 4)
        with suppress(ChildProcessError):  # there is none
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not header:
            return
        request, length = b"", int.from_bytes(header)
        while len(request) < length:
            request += connection.recv(length - len(request))
        if os.fork() == 0:
            connection.close()
            asked, tell = orjson.loads(request), given.pop()
            if (pid := os.fork()) == 0:
                os.close(tell)
                _become(asked, given)
                if asked["gate"] is not None:
                    put_gate(asked["gate"])
                cli.main()
                return
            for each in given:
                os.close(each)
            with suppress(BrokenPipeError):  # the test has ended
                os.write(tell, pid.to_bytes(NUMBER))
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(tell, status.to_bytes(NUMBER, signed=True))
            os._exit(0)
        for each in given:
            os.close(each)


def _become(asked: dict[str, Any], given: list[int]) -> None:
    """Take the streams, environment and arguments of a command."""
    for place, each in enumerate(given):
        os.dup2(each, place)
        os.close(each)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"], asked["file_bytes"]))
    sys.path[0] = asked["cwd"]
    sys.argv = ["freshrank", *asked["arguments"]]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
