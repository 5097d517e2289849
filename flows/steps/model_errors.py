"""Errors that a model raises, each as one line that names its file."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.errors import FreshrankError, JobError, UsageError
from recmodels.base import Recommender
from recmodels.own_code import library_line, own_line
from recmodels.slow.trainer import UntrainableError


class ModelError(JobError):
    """A model raised an error. The message begins with the file and the line."""


@contextmanager
def errors_of(model: Recommender, learned: int) -> Iterator[None]:
    """Make one line of what a user's model, or a library within a model, raises.

    Args:
        model: The model at work.
        learned: Number of events learned.
    """
    try:
        yield
    except FreshrankError:
        raise
    except UntrainableError as error:
        raise UsageError(f"model {model.version}: {error}") from None
    except Exception as error:
        if (line := own_line(error) or library_line(error)) is None:
            raise
        raise ModelError(f"{line}, {_at_work(model, learned)}. Mend it, then start again.") from error


def _at_work(model: Recommender, learned: int) -> str:
    kind = type(model)
    if kind.__module__.startswith("recmodels."):
        return f"while the model {model.version} was at work after {learned:,} events"
    name = f"{kind.__module__}:{kind.__qualname__}"
    return (
        f"while the model {name} was at work after {learned:,} events. "
        f"freshrank check-model {name} tries it on few events"
    )
