"""The transformer beside the blend: the vectors made ahead of the kernel are those that the model itself would use."""

import numpy as np
import pytest

from recmodels import Example

pytest.importorskip("recmodels.deep", reason="needs the extra: pip install 'freshrank[deep]'", exc_type=ImportError)

from recmodels.deep import SASRec
from recmodels.deep.outside import Ahead, Outside

EVERY = 25


def transformer() -> SASRec:
    return SASRec(retrain_every=EVERY, width=8, length=6, blocks=1, batch_size=8, least_steps=10, learning_rate=0.02)


def events(count: int) -> list[Example]:
    draw = np.random.default_rng(2)
    return [
        Example(f"u{draw.integers(4)}", f"i{draw.integers(9)}", float(draw.choice([1.0, 1.0, -1.0])))
        for _ in range(count)
    ]


def taken_in(outside: Outside, examples: list[Example], batch: int) -> Ahead:
    """Take examples in as a model would, in micro-batches."""
    parts = []
    for start in range(0, len(examples), batch):
        rest = examples[start : start + batch]
        while rest:
            parts.append(outside.note(rest))
            outside.train_if_due()
            rest = rest[len(parts[-1].before) :]
    return Ahead(*(np.concatenate(vectors) for vectors in zip(*parts, strict=True)))


def test_micro_batches_never_show() -> None:
    examples = events(80)
    one, many = taken_in(Outside(transformer()), examples, 1), taken_in(Outside(transformer()), examples, 33)
    assert np.array_equal(one.before, many.before)
    assert np.array_equal(one.after, many.after)
    assert one.after[EVERY:].any(axis=1).all()
    assert not one.after[:EVERY].any(), "before the first training it says nothing"


def test_vectors_are_those_of_the_history_at_the_time() -> None:
    outside, alone, examples = Outside(transformer()), transformer(), events(80)
    said = taken_in(outside, examples, 80)
    for place, example in enumerate(examples):
        assert np.array_equal(said.before[place], alone.user_vector(example.user))
        alone.note_one(example.user, example.item, example.y)
        assert np.array_equal(said.after[place], alone.user_vector(example.user))
        alone.train_if_due()


def test_products_are_the_models_scores_less_what_all_items_have_in_common() -> None:
    outside = Outside(transformer())
    taken_in(outside, events(60), 60)
    outside.note([Example("u1", "new")])
    names = [f"i{k}" for k in range(9)]
    for user in ("u1", "stranger"):
        products = outside.items(names) @ outside.user(user)
        scores = np.array([outside.model.predict_one(user, name) for name in names])
        assert np.allclose(products, scores - scores.mean(), atol=1e-4)
        assert abs(products.mean()) < 1e-4
    assert not outside.items(["new", None, "never seen"]).any()
