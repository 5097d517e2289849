"""Speed of models in plain Python, of River's own, and of the blend's members alone, in the same flow."""

from bench.process import real_log, replayed
from bench.report import Section, main, median, shown, table
from recmodels.base import Context, Recommender

MODELS = (
    ("blend", "the default"),
    ("popularity", "one member of it, compiled"),
    ("covisitation", "another"),
    ("factorization", "another"),
    ("bench.plain_models:MostCommon", "plain Python, two methods; ranks the whole catalogue"),
    ("river:reco.BiasedMF(n_factors=32)", "River's factorisation"),
    ("river:facto.FMClassifier(n_factors=8)", "River's factorisation machine, on user, item and context"),
)
SLOW = 4


class MostCommon(Recommender):
    """Recommends the most frequent items, as a first model of one's own might."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Count the item."""
        self.register(user, item)
        self.catalogue[item] = (self.catalogue[item] or 0.0) + y

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the item's count."""
        return float(self.catalogue.get(item) or 0.0)


def measure(quick: bool) -> Section:
    """Replay the start of a log with each model."""
    section = Section("Other models in the same flow", "python -m bench.plain_models")
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    rounds, limit, slow_limit = (1, 5_000, 300) if quick else (3, 50_000, 2_000)
    rows, fastest = [], 0.0
    for number, (model, what) in enumerate(MODELS):
        count = limit if number < SLOW else slow_limit
        reports = [
            replayed(log, "--repeats", "exclude", "--limit", str(count), "--model", model)[0] for _ in range(rounds)
        ]
        assert all(report["metrics"] == reports[0]["metrics"] for report in reports), "a replay is not repeatable"
        assert all(report["scored"] == count for report in reports)
        speed = median("", [report["events_per_second"] for report in reports], "").value
        fastest = fastest or speed
        rows.append((f"`{model}`", what, f"{count:,}", shown(speed), shown(fastest / speed), shown(1e6 / speed)))
    section.notes = [
        table(("model", "what it is", "events", "events/s", "times slower than the blend", "µs an event"), rows),
        f"The first events of ml-100k, one core, medians of {rounds} runs, which agreed to the last digit of every "
        "measure. The slow models score every item of the catalogue for every list, twice an event as they are scored "
        "too, so they get slower with it: the first events are in their favour.",
    ]
    return section


if __name__ == "__main__":
    main(measure)
