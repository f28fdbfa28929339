"""Metrics into the store; long series of them faster than MLflow itself would."""

from pathlib import Path

from mflib.runs.heal import connect
from mflib.runs.store import Store

_FEW = 100  # points, for which MLflow's own way is as good
_INSERT = (
    "INSERT OR IGNORE INTO metrics (key, value, timestamp, step, run_uuid, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
)


def log_metrics(store: Store, run_id: str, metrics: list) -> None:
    """Log the points of any number of series.

    MLflow makes an object of each point and takes 90 µs for it, seconds for a long history. So where the
    store is an SQLite file, all points but the last of each series go straight to its table, in one
    transaction; MLflow logs the last ones, by which it knows what the series have come to.

    Parameters
    ----------
    store : Store
    run_id : str
    metrics : list of mlflow.entities.Metric
        Finite values.
    """
    last = {}
    for point in metrics:
        before = last.get(point.key)
        if before is None or (point.step, point.timestamp) >= (before.step, before.timestamp):
            last[point.key] = point
    if store.database and len(metrics) - len(last) > _FEW:
        _insert(store.database, run_id, [point for point in metrics if point is not last[point.key]])
        metrics = [*last.values()]
    store.client().log_batch(run_id, metrics=metrics)  # which cuts it where a server takes no more at once


def _insert(database: Path, run_id: str, points: list) -> None:
    """All of them or, after an error, none."""
    rows = [(point.key, point.value, point.timestamp, point.step, run_id) for point in points]
    with connect(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
