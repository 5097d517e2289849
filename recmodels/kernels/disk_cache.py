"""Disk cache of compiled entries, keyed by the source code and not by its folder.

numba's own locators put the path, the time and the line of a source file into the key. So a second checkout of the same
code, a moved folder, or a changed comment compiles everything again. Here the directory is named by a digest of all
code that an entry can reach. The key of an entry is its name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator


def cache_in(directory: Path, compiled: Any) -> None:
    """Keep the machine code of an entry in a directory.

    Args:
        directory: The directory. Its name must identify the source code.
        compiled: Result of `numba.njit`.
    """

    class Locator(_CacheLocator):
        _py_file = ""

        def get_cache_path(self) -> str:
            return str(directory)

        def get_source_stamp(self) -> str:
            return directory.name

        def get_disambiguator(self) -> str:
            return "entry"

        @classmethod
        def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "Locator":
            return cls()

    class Implementation(CompileResultCacheImpl):
        _locator_classes: ClassVar = [Locator]

    class Cache(FunctionCache):
        _impl_class = Implementation

    compiled._cache = Cache(compiled.py_func)
