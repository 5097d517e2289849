"""Compilation of kernels: entry points are compiled once per version of the source and cached on the disk.

Python calls *entries*. They take the address of a state and numbers, and are cached. All functions that they call are
*kernels*. A kernel exists only inside the entries, so no code is generated to unpack a state for Python.
"""

import ast
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba import config

from recmodels.kernels.disk_cache import cache_in
from recmodels.kernels.kernel_compiler import EntryCompiler, KernelCompiler

P = ParamSpec("P")
R = TypeVar("R")

OLD_DAYS: Final = 30
"""Compiled kernels of other versions are deleted once they have not been used for this number of days."""
DIGEST: Final = "[0-9a-f]{16}"
"""Names of the cache's directories."""
int64: Final = cast(Callable[[Any], int], np.int64)
"""In a kernel: the number as 64 bits, the type of Python's numbers. For each other type, including that of a literal,
the compiler would compile a kernel once more."""
index: Final = cast(Callable[[Any], int], np.uintp)
"""In a kernel: an index that is known to be 0 or more. For others the compiler adds code that counts from the end."""
_entries: list[Any] = []
_cache: list[Path | None] = []
"""The cache directory, once it is known."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that runs without the interpreter's lock, with strict floating point order.

    Kernels and entries can call it, but Python cannot. It cannot allocate memory, as numba's memory management is off.
    That would count references to every array of the state at each call, and take 50 % more time.
    """
    return _compiled(function, fastmath=False)


def sum_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only reads, and may reorder sums. NaN and infinity keep their meaning."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that Python calls, with the options of `kernel`, and cache it."""
    compiled = _compiled(function, fastmath=False, is_internal=False)
    _entries.append(compiled)
    if _cache:
        _enable_cache(compiled)
    return compiled


def callable_from_python(function: Callable[P, R]) -> Callable[P, R]:
    """Make a kernel callable from Python, for tests and measurements. Each process compiles it."""
    compiled: Any = function
    return _compiled(compiled.py_func, fastmath=compiled.targetoptions["fastmath"], is_internal=False)


def use_cache(layout: str) -> None:
    """Choose the cache directory for this source and this layout of the state. Only the first call has an effect."""
    if _cache:
        return
    _cache.append(_cache_directory(layout))
    for compiled in _entries:
        _enable_cache(compiled)


def cache_directory() -> Path | None:
    """Return the directory of compiled kernels, once `use_cache` was called. None: each process compiles them."""
    return _cache[0] if _cache else None


def _compiled(function: Callable[P, R], fastmath: bool | set[str], is_internal: bool = True) -> Callable[P, R]:
    is_linked = is_internal and not fastmath  # sums are optimised by themselves, so that they always round alike
    compiled: Callable[P, R] = numba.njit(
        nogil=True,
        fastmath=fastmath,
        error_model="numpy",
        no_cpython_wrapper=is_internal,
        no_cfunc_wrapper=True,
        _nrt=False,
        pipeline_class=KernelCompiler if is_linked else EntryCompiler,
    )(function)
    return compiled


def _enable_cache(compiled: Any) -> None:
    if _cache[0] is not None:
        cache_in(_cache[0], compiled)


def _cache_directory(layout: str) -> Path | None:
    """Return the cache directory of exactly this source and layout.

    numba itself checks only the file of the entry. It would miss a change of a kernel that the entry calls, or of its
    arrays.

    Returns:
        The directory, or None if no directory is writable.
    """
    base = Path(config.CACHE_DIR) if config.CACHE_DIR else Path.home() / ".cache" / "freshrank"
    kernels = Path(__file__).parent
    sources = sorted([*kernels.rglob("*.py"), kernels.parent / "storage" / "tables.py"])
    directory = base / _digest_of(layout, [source.read_text(encoding="utf-8") for source in sources], base)
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        os.utime(directory)
    if not os.access(directory, os.W_OK):  # numba needs to write even if it only reads
        return None
    _delete_old(base)
    return directory


def _digest_of(layout: str, sources: list[str], base: Path) -> str:
    """Return the digest of a layout and of the code in some sources.

    Parsing the sources takes as long as loading all kernels. So a file in `base` holds the digest of sources that are
    the same to the last character.
    """
    as_written = hashlib.blake2b(repr([layout, sources]).encode(), digest_size=8).hexdigest()
    known = base / f"{as_written}.digest"
    with suppress(OSError):
        if re.fullmatch(DIGEST, found := known.read_text(encoding="ascii")):
            os.utime(known)
            return found
    digest = hashlib.blake2b(layout.encode(), digest_size=8)
    for source in sources:
        digest.update(_code_of(source).encode())
    with suppress(OSError):
        base.mkdir(parents=True, exist_ok=True)
        written = known.with_suffix(f".{os.getpid()}")
        written.write_text(digest.hexdigest(), encoding="ascii")
        written.replace(known)
    return digest.hexdigest()


def _delete_old(base: Path) -> None:
    """Delete the kernels of other versions that were not used for `OLD_DAYS`."""
    for each in base.iterdir():
        with suppress(OSError):
            is_ours = re.fullmatch(rf"{DIGEST}(\.\w+)?", each.name)
            if is_ours and time.time() - each.stat().st_mtime > OLD_DAYS * 86_400:
                if each.is_dir():
                    shutil.rmtree(each)
                else:
                    each.unlink()


def _code_of(source: str) -> str:
    """Return a canonical form of Python source without comments and docstrings: editing those compiles nothing."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.dump(tree)
