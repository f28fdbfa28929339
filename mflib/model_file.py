"""A fitted model in a file: arrays as `storage` writes them, all else as JSON; nothing is pickled."""

import numbers

import numpy as np

from mflib import storage
from mflib.axis import Axis

FORMAT = 1
_LEARNED = ("mean_", "std_", "rating_range_", "stopped_because_")
_HISTORY = "history_"


def save(path, model):
    """Write a model: all of it or nothing."""
    storage.write(path, *_content(model))


def save_to(file, model):
    """Write a model to a binary file that is open."""
    storage.write_to(file, *_content(model))


def load(path, kind):
    """The model, of this class, that `save` wrote."""

    def model(about, arrays):
        if about.get("holds") != "Factorization":
            raise ValueError("it holds no model")
        storage.check_format(about, FORMAT)
        new = kind(**_parameters(about["parameters"]))
        new._set(**_learned(about, arrays))
        return new

    return storage.read(path, "Factorization.save", model, verify=True)


def _content(model):
    """What JSON says about a model, and its arrays."""
    about = {
        "holds": "Factorization",
        "format": FORMAT,
        "parameters": {name: _plain(value) for name, value in model.get_params().items()},
        "learned": {name: getattr(model, name) for name in _LEARNED},
        "biased": model._biased,
        "n_factors": model.U_.shape[1],
    }
    for name in ("user_labels", "item_labels"):
        about[name] = storage.labels_as_json(name, getattr(model, f"{name}_"))
    seen = model._seen
    return about, {
        "U": model._U[:-1].ravel(),
        "V": model._V[:-1].ravel(),
        "user_counts": model.user_counts_,
        "item_counts": model.item_counts_,
        "seen_items": seen if isinstance(seen, np.ndarray) else seen.items,
        **{_HISTORY + field: model.history_[field] for field in model.history_.dtype.names},
    }


def _plain(value):
    """A parameter as JSON holds it."""
    if isinstance(value, tuple | list):
        return [*map(_plain, value)]
    if isinstance(value, np.dtype | type):
        return np.dtype(value).name
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral | np.bool_):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


def _parameters(told):
    """Parameters as JSON told them: a range is a tuple."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


def _learned(about, arrays):
    """Arguments of `Factorization._set`, checked so that whatever the file holds is safe to compute with."""
    arrays = {name: np.array(array) for name, array in arrays.items()}  # the file may go
    width = about["n_factors"] + 2
    U, V = (arrays[name].reshape(-1, width) for name in "UV")
    if U.dtype not in (np.float32, np.float64) or V.dtype != U.dtype or about["n_factors"] < 1:
        raise ValueError(f"the factors are {U.dtype} {U.shape} and {V.dtype} {V.shape}")
    if not (np.isfinite(U).all() and np.isfinite(V).all()):
        raise ValueError("a factor is not finite")
    axes = []
    for what, W in (("user", U), ("item", V)):
        counts = arrays[f"{what}_counts"]
        if counts.dtype != np.int64 or counts.shape != (len(W),) or counts.min() < 0:
            raise ValueError(f"there is not one count for each {what}")
        axes.append(Axis(what, storage.labels_of_json(about[f"{what}_labels"], len(W)), counts))
    seen = arrays["seen_items"]
    if seen.dtype.kind != "i" or len(seen) != axes[0].counts.sum():
        raise ValueError("the items that were seen are not as many as the ratings")
    if len(seen) and not 0 <= seen.min() <= seen.max() < len(V):
        raise ValueError("an item that was seen lies outside the shape")
    learned = {name: about["learned"][name] for name in _LEARNED}
    learned["rating_range_"] = tuple(learned["rating_range_"])
    return {
        "U": U,
        "V": V,
        "axes": tuple(axes),
        "seen": seen,
        "biased": bool(about["biased"]),
        "history_": _history(arrays),
        **learned,
    }


def _history(arrays):
    """The columns of the history as one structured array."""
    fields = {
        name.removeprefix(_HISTORY): array for name, array in arrays.items() if name.startswith(_HISTORY)
    }
    history = np.empty(len(fields["iteration"]), [(name, array.dtype) for name, array in fields.items()])
    for name, array in fields.items():
        history[name] = array
    return history
