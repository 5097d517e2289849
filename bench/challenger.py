"""Cost of a challenger: CPU time of a replay with a challenger, divided by that of the champion alone.

    python -m bench.challenger LOG [EVENTS [REPLAYS]]

The variants take turns, and the median of the ratios within a turn counts. The variant "learning alone" has a share of
one in a million, so that its challenger is almost never scored.
"""

import sys
from pathlib import Path
from statistics import median

from flows.replay import replay
from flows.settings import Settings
from recmodels.fused.warm_up import warm_up

SHARES = {"share 1": 1.0, "share 0.1": 0.1, "learning alone": 1e-6}
PAIRS = [
    ("blend", "blend(seed=1)"),
    ("blend", "blend(reranker=False)"),
    ("popularity", "popularity(half_life=100.0)"),
    ("river:reco.Baseline", "river:reco.Baseline(l2=0.1)"),
]


def cpu_seconds(log: Path, events: int, model: str, challenger: str | None, share: float) -> float:
    """Return the CPU seconds of one replay."""
    settings = Settings(model=model, repeats="exclude", challenger=challenger, challenger_share=share)
    return replay(log, settings, limit=events).cpu_seconds


def main() -> None:
    """Measure and print a row for each pair of models."""
    log, events = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    turns = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    warm_up()
    sys.stdout.write(f"| champion, challenger | {' | '.join(SHARES)} |\n")
    for model, challenger in PAIRS:
        count = events if "river" not in model else events // 20
        cpu_seconds(log, 1_000, model, challenger, 1.0)
        ratios: dict[str, list[float]] = {name: [] for name in SHARES}
        for _ in range(turns):
            alone = cpu_seconds(log, count, model, None, 1.0)
            for name, share in SHARES.items():
                ratios[name].append(cpu_seconds(log, count, model, challenger, share) / alone)
        row = " | ".join(f"{median(each):.2f}" for each in ratios.values())
        sys.stdout.write(f"| {model}, {challenger} | {row} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
