"""What a notebook calls to have its results recorded.

`mflib run` names a folder in MFLIB_RUN_DIR and turns what is left there into an MLflow run. So a kernel
imports no MLflow, and the same calls in a notebook opened by hand do nothing:

    <MFLIB_RUN_DIR>/metrics.jsonl      a line for each metric or series
                    data.jsonl         a line for each set of ratings
                    artifacts/figures/<name>.png
                    artifacts/tables/<name>.csv
                    artifacts/results/<name>.npy
                    artifacts/models/<name>.npz    of which the run gets an MLflow model (mflib.runs.models)
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mflib.runs.folder import append, new_file

# A subset of what MLflow accepts that is also a file name, so it can never lead out of the folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")
_SERIES = {"loss": "loss", "validation_rmse": "rmse.validation", "seconds": "seconds.descent"}


def record_metrics(metrics: Mapping[str, float]) -> None:
    """Record single numbers of this run.

    Parameters
    ----------
    metrics : mapping of str to number
        For instance `rmse.validation`, `loss`, `seconds.fit`. A number given under the name of a series
        recorded before is its last word. True and False count as 1 and 0.

    Raises
    ------
    ValueError
        If a name has other signs than letters, digits, `_`, `-` and `.`, or a number is NaN or infinite.
    TypeError
        If a value is not a single real number.

    Examples
    --------
    >>> record_metrics({"rmse@10": 0.9})
    Traceback (most recent call last):
    ...
    ValueError: metric name 'rmse@10': only letters, digits, '_', '-' and '.' are allowed
    """
    for name, value in metrics.items():
        _check_name("metric", name)
        _check_number(name, value)
    append([{"name": name, "values": [float(value)]} for name, value in metrics.items()])


def record_history(history: np.ndarray, prefix: str = "") -> None:
    """Record the history of a descent as the series `loss`, `rmse.validation` and `seconds.descent`.

    Parameters
    ----------
    history : structured ndarray, shape (n,), fields iteration, loss, validation_rmse, seconds
        The iteration is the step of the series; rows whose validation RMSE is NaN have none.
    prefix : str
        Put before each name, to tell several descents apart: `momentum.` gives `momentum.loss`.

    Raises
    ------
    ValueError
        If a field is missing, or a loss or time is not finite.
    """
    fields = getattr(getattr(history, "dtype", None), "names", None) or ()
    missing = [name for name in ("iteration", *_SERIES) if name not in fields]
    if missing:
        raise ValueError(
            f"history: expected a structured array with field {missing[0]!r}, got {list(fields)}"
        )
    lines = []
    for field, series in _SERIES.items():
        _check_name("metric", prefix + series)
        values = np.asarray(history[field], dtype=np.float64)
        there = ~np.isnan(values) if field == "validation_rmse" else np.ones(len(values), dtype=bool)
        steps, values = history["iteration"][there], values[there]
        if not np.isfinite(values).all():
            worst = int(steps[np.flatnonzero(~np.isfinite(values))[0]])
            raise ValueError(f"history: {field} is not finite at iteration {worst}")
        if len(values):
            lines.append({"name": prefix + series, "steps": steps.tolist(), "values": values.tolist()})
    append(lines)


def record_figure(name: str, figure: Any) -> None:
    """Record a picture as `figures/<name>.png`.

    Parameters
    ----------
    name : str
        Letters, digits, `_`, `-` and `.`; the same name again replaces the picture.
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the name has other signs.
    TypeError
        If `figure` is not a matplotlib figure.
    """
    _check_name("figure", name)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"figure {name!r}: expected a matplotlib Figure, got {type(figure).__name__}")
    with new_file(f"figures/{name}.png") as file:
        if file:
            figure.savefig(file, format="png", bbox_inches="tight")


def record_table(name: str, table: Any) -> None:
    """Record a table as `tables/<name>.csv`.

    Parameters
    ----------
    name : str
        Letters, digits, `_`, `-` and `.`; the same name again replaces the table.
    table : pandas.DataFrame, or iterable of mappings
        An index other than the plain numbering becomes the first column. Of mappings, each is a row.

    Raises
    ------
    ValueError
        If the name has other signs.
    TypeError
        If `table` is neither.
    """
    _check_name("table", name)
    rows = None if hasattr(table, "to_csv") else _rows(name, table)
    with new_file(f"tables/{name}.csv") as file:
        if file and rows is None:
            table.to_csv(file, index=type(table.index).__name__ != "RangeIndex")
        elif file:
            columns = list(dict.fromkeys(key for row in rows for key in row))
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def record_data(ratings: Any, split: str = "") -> None:
    """Record which ratings this run is about, and by which rule they were split.

    Parameters
    ----------
    ratings : Ratings
        All of them, before the split. A run on several sets records each.
    split : str
        For instance `share=0.2 seed=0`; runs of different data or another split are not compared.

    Raises
    ------
    TypeError
        If `ratings` has no digest, or `split` is no text.

    Examples
    --------
    >>> record_data([1, 2, 3])
    Traceback (most recent call last):
    ...
    TypeError: ratings: expected Ratings, got list; Ratings.from_dense(Y, R) makes one of arrays
    """
    digest = getattr(ratings, "digest", None)
    if not isinstance(digest, str):
        kind = type(ratings).__name__
        raise TypeError(
            f"ratings: expected Ratings, got {kind}; Ratings.from_dense(Y, R) makes one of arrays"
        )
    if not isinstance(split, str):
        raise TypeError(f"split: expected a text such as 'share=0.2 seed=0', got {type(split).__name__}")
    append([{"data_digest": digest, "split": split}], "data.jsonl")


def record_result(**results: Any) -> None:
    """Record what must come out to the bit when this run is executed again.

    Together with the metrics, except those of seconds, these arrays make the result digest. The file of
    each is little-endian and row by row, whatever the machine.

    Parameters
    ----------
    **results : array_like of numbers, truth values or text
        By name, for instance `U=U, V=V`; the same name again replaces the array. What the number of
        threads may change, such as a large matrix product, does not belong here, nor does a time.

    Raises
    ------
    ValueError
        If a name has other signs than letters, digits, `_`, `-` and `.`.
    TypeError
        If a value holds something whose bytes do not say what it is: objects, records, long doubles.

    Examples
    --------
    >>> record_result(U=[None])
    Traceback (most recent call last):
    ...
    TypeError: result 'U': expected numbers, truth values or text, got an array of object
    """
    arrays = {name: _canonical(name, value) for name, value in results.items()}
    for name, array in arrays.items():
        with new_file(f"results/{name}.npy") as file:
            if file:
                np.save(file, array, allow_pickle=False)


def record_model(name: str, model: Any) -> None:
    """Record a fitted model as `models/<name>`: an MLflow model, to be loaded from the run and served.

    Where the labels are not all whole numbers, all floats or all text, no column of MLflow holds them: then
    the run gets the file of `Factorization.save`, `models/<name>.npz`.

    Parameters
    ----------
    name : str
        Letters, digits, `_`, `-` and `.`; the same name again replaces the model.
    model : Factorization

    Raises
    ------
    ValueError
        If the name has other signs, or the model is not fitted.
    TypeError
        If `model` is none, or as `Factorization.save`.

    Examples
    --------
    >>> record_model("best", [1, 2])
    Traceback (most recent call last):
    ...
    TypeError: model 'best': expected a Factorization, got list
    """
    _check_name("model", name)
    from sklearn.utils.validation import check_is_fitted

    from mflib import Factorization, model_file

    if not isinstance(model, Factorization):
        raise TypeError(f"model {name!r}: expected a Factorization, got {type(model).__name__}")
    check_is_fitted(model)  # also where there is no run
    with new_file(f"models/{name}.npz") as file:
        if file:
            model_file.save_to(file, model)


def _canonical(name: str, value: Any) -> np.ndarray:
    """The value as an array whose bytes are the same on every machine."""
    _check_name("result", name)
    array = np.asarray(value)
    if array.dtype.kind not in "biufcSU" or array.dtype.char in "gG":
        what = f"result {name!r}: expected numbers, truth values or text"
        raise TypeError(f"{what}, got an array of {array.dtype.name}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _rows(name: str, table: Any) -> list[Mapping]:
    """The rows of a table that is not a DataFrame."""
    rows = list(table) if isinstance(table, Iterable) else [table]
    for row in rows:
        if not isinstance(row, Mapping):
            raise TypeError(
                f"table {name!r}: expected a DataFrame or a list of dicts, got {type(table).__name__}"
                + (f" of {type(row).__name__}" if row is not table else "")
            )
    return rows


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{what} name {name!r}: only letters, digits, '_', '-' and '.' are allowed")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool | np.bool_):
        return  # a claim that holds or not: 1 or 0
    if not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"metric {name!r}: expected a real number, got {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"metric {name!r}: expected a finite number, got {value}")
