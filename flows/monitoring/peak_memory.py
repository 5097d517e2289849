"""The most memory that this process has held."""

import re
import resource
import sys
from pathlib import Path


def peak_rss_mb() -> float:
    """Return the highest resident set of this process so far, in MB.

    On Linux `getrusage` would also count what the process held that started this one, until this one took its place:
    a small replay under a large parent would seem large. What the kernel says of the memory itself does not.

    >>> 1 < peak_rss_mb() < 100_000
    True
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
