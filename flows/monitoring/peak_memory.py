"""Peak memory of this process."""

import re
import resource
import sys
from pathlib import Path


def peak_rss_mb() -> float:
    """Return the highest resident set of this process so far, in MB.

    On Linux `getrusage` also counts the memory of the parent process up to the start of this one. So a small replay
    under a large parent would seem large. The kernel's own figure for this process (`VmHWM`) does not.

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
