"""Matrix factorization by gradient descent: the lecture, executable, proved, fast and reproducible."""

from mflib import datasets, dense, evaluation, metrics, splits
from mflib.descent import Descent, DivergenceError, descend, random_factors
from mflib.ratings import Ratings
from mflib.sparse import gradients, loss, loss_and_gradients, predict_pairs, top_n
from mflib.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Descent",
    "DivergenceError",
    "Factorization",
    "Ratings",
    "datasets",
    "dense",
    "descend",
    "evaluation",
    "get_num_threads",
    "gradients",
    "loss",
    "loss_and_gradients",
    "metrics",
    "predict_pairs",
    "random_factors",
    "set_num_threads",
    "splits",
    "top_n",
]


def __getattr__(name):
    """`Factorization` at its first use: scikit-learn takes a second to import."""
    if name != "Factorization":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mflib.model import Factorization

    return Factorization


def __dir__():
    return sorted({*globals(), *__all__})
