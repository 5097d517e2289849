"""Hit rate of related items: is a user's next item among the items related to the one before?

    python -m bench.related LOG... [--first-half]

Test-then-learn: the related items are computed just before each event is learned. The most popular items so far are the
baseline. The constants of `flows.serve.related` were chosen on the first half of each log. Without the option the
second half counts.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from flows.files.open_log import open_log
from flows.messages import Interaction
from flows.serve.related import RelatedItems

TOP = 10


def measure(log: Path, is_first_half: bool) -> tuple[int, float, float]:
    """Return the number of events counted, the hit rate of related items, and that of the most popular."""
    opened = open_log(log)
    part = opened.source.build_part("related", "log", None)
    events = []
    while True:
        try:
            events += [opened.decoder(raw, 0.0) for raw in part.next_batch()]
        except StopIteration:
            break
    related, last, popular = RelatedItems(), dict[str, str](), Counter[str]()
    top: set[str] = set()
    counted = hits = popular_hits = 0
    half = len(events) // 2
    for number, event in enumerate(events):
        if not isinstance(event, Interaction):
            continue
        before = last.get(event.user)
        if before is not None and before != event.item and (number < half) is is_first_half:
            counted += 1
            hits += any(each.item == event.item for each in related.of(before, TOP))
            popular_hits += event.item in top
        related.add(event.user, event.item)
        last[event.user] = event.item
        popular[event.item] += 1
        if number % 100 == 0:
            top = {item for item, _ in popular.most_common(TOP)}
    return counted, hits / max(1, counted), popular_hits / max(1, counted)


def main() -> None:
    """Print a line for each log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--first-half", action="store_true")
    asked = parser.parse_args()
    sys.stdout.write(f"{'log':24} {'events':>9} {'related':>9} {'popular':>9}\n")
    for log in asked.logs:
        counted, hits, popular = measure(log, asked.first_half)
        sys.stdout.write(f"{log.parent.name:24} {counted:>9,} {hits:>9.4f} {popular:>9.4f}\n")


if __name__ == "__main__":
    main()
