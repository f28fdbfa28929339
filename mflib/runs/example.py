"""A few lines executed and recorded as `mflib run` does, in a store of their own: something to compare."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

from mflib.runs.outcome import FINISHED
from mflib.runs.settings import Recorded, recorded
from mflib.runs.store import Store

_NAME = "example"


def execute(folder: Path, code: str, points: Sequence[Mapping[str, Any]]) -> tuple[Store, list[Recorded]]:
    """Execute code once for each point, in processes of their own.

    Parameters
    ----------
    folder : Path
        An empty one, for the notebook that is made of the code, and for the store.
    code : str
        Of one cell.
    points : sequence of mapping
        The parameters of each run: the same names at each point, with values of the same types.

    Returns
    -------
    store : Store
    runs : list of Recorded
        In the order of the points.

    Raises
    ------
    RuntimeError
        If a run has not finished, with what `mflib run` said.
    """
    notebooks, params = folder / "notebooks", folder / "example.yaml"
    notebooks.mkdir()
    declared = "\n".join(f"{name}: {type(value).__name__} = {value!r}" for name, value in points[0].items())
    cells = [nbformat.v4.new_code_cell(declared, metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(code))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebooks / f"{_NAME}.ipynb")
    listed = [{"notebook": _NAME, "parameters": dict(point)} for point in points]
    params.write_text(yaml.safe_dump({"experiment": _NAME, "runs": listed}), encoding="utf-8")
    _run(folder, params)
    store = Store(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}", folder / "mlruns" / "artifacts")
    client = store.client()
    found = client.search_runs([store.experiment(_NAME)], order_by=["attributes.start_time ASC"])
    return store, [recorded(run) for run in found if run.info.status == FINISHED]


def _run(folder: Path, params: Path) -> None:
    """`mflib run` on a folder, whatever store the environment names."""
    elsewhere = ("MLFLOW_TRACKING_URI", "MFLIB_RUN_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    done = subprocess.run(
        [sys.executable, "-m", "mflib.cli", "run", str(params)],
        env={**environment, "MFLIB_ROOT": str(folder)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"mflib run ended with {done.returncode}:\n{done.stdout}{done.stderr}")
