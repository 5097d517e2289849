"""Messages against served hit rate by emission policy: `python -m bench.emission DIRECTORY… [--limit N]`.

Each log, `events.csv.gz` of a directory, is replayed with each policy. Messages are those on the output topic for each
event, with the fallback list. The served hit rate is that of the lists on the topic, in the second half of the log.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from bench.diversity import ALLOW
from flows.evaluation.protocol import Protocol
from flows.replay import replay
from flows.settings import Settings

POLICIES: Final[dict[str, dict[str, Any]]] = {
    "every": {},
    "changed": {"emit": "changed"},
    "interval 60 s": {"emit_interval": 60.0},
    "interval 3,600 s": {"emit_interval": 3_600.0},
    "change above 0.2": {"emit_change": 0.2},
    "change above 0.5": {"emit_change": 0.5},
    "requests": {"emit": "requests"},
}
BURSTS: Final = (60.0, 3_600.0, 86_400.0)
"""Seconds for which unspent budget is saved."""
SHARES: Final = (0.5, 0.25, 0.1)
"""Budgets, as shares of the mean number of events per second."""


def main() -> None:
    """Measure each log, and print a row for each policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, help="number of events")
    asked = parser.parse_args()
    sys.stdout.write("| log | policy | messages per event | served hit rate @10 |\n|---|---|---|---|\n")
    for directory in asked.directory:
        repeats: Any = "allow" if directory.name in ALLOW else "exclude"
        rate = 0.0
        policies: list[str | tuple[float, float]] = [*POLICIES, *((s, b) for s in SHARES for b in BURSTS)]
        for policy in policies:
            if isinstance(policy, str):
                name, chosen = policy, POLICIES[policy]
            else:
                share, burst = policy
                name = f"budget of {share:g} of the events, saved for {burst:,.0f} s"
                chosen = {"emit_budget": rate * share, "emit_burst": burst}
            settings = Settings(repeats=repeats, rewards={"return": -1.0}, **chosen)
            protocol = Protocol(warmup=0.5)
            result = replay(directory / "events.csv.gz", settings, limit=asked.limit, protocol=protocol)
            times = result.outcomes.arrays()["time"]
            rate = len(times) / max(float(times[-1] - times[0]), 1.0)
            served = result.metrics["served_hit_rate@10"]
            sys.stdout.write(f"| {directory.name} | {name} | {result.messages_per_event:.2f} | {served:.4f} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
