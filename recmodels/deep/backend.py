"""Keras on JAX, on one thread. This is the only place where `recmodels` sets environment variables, as Keras reads
them.

Keras takes its backend from `KERAS_BACKEND` at its first import, so the variable is set before. By default XLA splits a
sum over all cores, and the order of a sum changes its last bits. On one thread a model gives the same lists on all
machines of a kind, and takes one core.
"""

import os
import sys
from typing import Final

INSTALL: Final = "make extra NAME=deep (in a clone), or pip install 'freshrank[deep]'"
ONE_THREAD: Final = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "jax"
if "jax" not in sys.modules:
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()

try:
    import jax
    import keras
except ImportError as error:
    raise ImportError(f"the deep models need Keras and JAX, and {error.name} is not installed: {INSTALL}") from None

if keras.backend.backend() != "jax":
    raise ImportError(
        f"the deep models need Keras on JAX; it was imported before with the backend {keras.backend.backend()!r}: "
        "import recmodels.deep first, or set KERAS_BACKEND=jax"
    )

__all__ = ["jax", "keras"]
