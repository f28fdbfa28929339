"""A model as MLflow stores, loads and serves it: models-from-code with the file of `Factorization.save`.

    folder/   MLmodel, served_model.py (mflib.runs.served_model), artifacts/model.npz, input_example.json, …

`mlflow.pyfunc.load_model(folder)` scores a frame with the columns `user` and `item`, and
`mlflow models serve -m folder --env-manager local` serves it on 127.0.0.1. Nothing is pickled.
"""

import importlib.metadata
import os
import shutil
import uuid
from pathlib import Path

from mflib.runs import store  # noqa: F401  it says to MLflow what it must not print or send
from mflib.runs.project import InputError

_CODE = Path(__file__).with_name("served_model.py")
_COLUMN = {int: "long", float: "double", str: "string"}
# What loading and scoring import. mflib is not among them: it is on no index, and must be installed.
_NEEDED = ("mlflow", "numpy", "numba", "pandas", "scikit-learn", "scipy")
_EXAMPLES = 3


def write(file: Path, folder: Path) -> None:
    """Make an MLflow model of a file of `Factorization.save`; what stood in its folder is replaced.

    Parameters
    ----------
    file : Path
    folder : Path
        Complete when it is there.

    Raises
    ------
    InputError
        If the labels are not all whole numbers, all floats or all text: columns of MLflow hold nothing else.
    FileNotFoundError, ValueError
        As `Factorization.load`.
    OSError
        If it cannot be written; what stood there before is as it was.
    """
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    from mflib import Factorization

    model = Factorization.load(file)
    columns = Schema(
        [
            ColSpec(_kind("user", model.user_labels_), "user"),
            ColSpec(_kind("item", model.item_labels_), "item"),
        ]
    )
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        save_model(
            temporary,
            python_model=str(_CODE),
            artifacts={"factorization": str(file)},
            signature=ModelSignature(
                columns, Schema([ColSpec("double", "rating"), ColSpec("boolean", "known")])
            ),
            input_example=_example(model),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in _NEEDED],
        )
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _kind(what: str, labels: list | None) -> str:
    """The type of a column that holds these labels."""
    kinds = {int} if labels is None else {type(label) for label in labels}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind not in _COLUMN or (kind is int and any(abs(label) >= 1 << 63 for label in labels or ())):
        raise InputError(
            f"the {what} labels are no column of MLflow, which holds whole numbers, numbers or text: "
            "give the ratings such labels"
        )
    return _COLUMN[kind]


def _example(model):
    """The first pairs of a known user with a known item, as a frame."""
    import pandas as pd

    sides = []
    for labels, counts in (
        (model.user_labels_, model.user_counts_),
        (model.item_labels_, model.item_counts_),
    ):
        rows = counts.nonzero()[0][:_EXAMPLES].tolist()
        sides.append(rows if labels is None else [labels[row] for row in rows])
    pairs = list(zip(*sides, strict=False))
    return pd.DataFrame(pairs, columns=["user", "item"])
