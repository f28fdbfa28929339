"""The experiment workflow: what a notebook records, and how its execution becomes an MLflow run.

A notebook needs only the functions named here; they import neither MLflow nor papermill.
"""

from mflib.runs.interactive import recording
from mflib.runs.record import (
    record_data,
    record_figure,
    record_history,
    record_metrics,
    record_model,
    record_result,
    record_table,
)

__all__ = [
    "record_data",
    "record_figure",
    "record_history",
    "record_metrics",
    "record_model",
    "record_result",
    "record_table",
    "recording",
]
