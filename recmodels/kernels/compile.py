"""How kernels are compiled: once per version of the source, and cached on the disk."""

import ast
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import numba
from numba import config

P = ParamSpec("P")
R = TypeVar("R")


def _cache_directory() -> Path | None:
    """Name a cache for exactly this source: numba looks only at the file of the outermost function, and would go on
    using a kernel after another that it calls has changed, or the arrays that it is given (see `state_pointer`).
    None: there is no place that can be written."""
    digest = hashlib.blake2b(digest_size=8)
    kernels = Path(__file__).parent
    package = kernels.parent
    layouts = (package / "fused" / "base.py", package / "fused" / "memory.py", package / "storage" / "tables.py")
    for source in (*sorted(kernels.glob("*.py")), *layouts):
        digest.update(_code_of(source.read_text(encoding="utf-8")).encode())
    base = Path(config.CACHE_DIR) if config.CACHE_DIR else Path.home() / ".cache" / "freshrank"
    directory = base / digest.hexdigest()
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    return directory if os.access(directory, os.W_OK) else None  # numba wants to write even where it only reads


def _code_of(source: str) -> str:
    """Return a canonical form of Python source without comments and docstrings: editing those compiles nothing."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)


CACHE_DIRECTORY: Final = _cache_directory()
"""Where compiled kernels are kept. Without one they are compiled anew by each process."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function to machine code that runs without the interpreter's lock, and rounds as it is written.

    It cannot allocate: numba's memory management is left out, which would count references to every array of the
    state at every call, and take half as long again.
    """
    return _compiled(function, fastmath=False)


def sum_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only reads, and may add up in any order; NaN and infinity keep their meaning."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


def _compiled(function: Callable[P, R], fastmath: bool | set[str]) -> Callable[P, R]:
    users_choice = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_DIRECTORY or "")
    try:
        compiled: Callable[P, R] = numba.njit(
            cache=CACHE_DIRECTORY is not None,
            nogil=True,
            fastmath=fastmath,
            error_model="numpy",
            _nrt=False,
        )(function)
    finally:
        config.CACHE_DIR = users_choice
    return compiled
