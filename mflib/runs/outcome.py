"""What became of an execution: apart, so that what only prints it imports neither MLflow nor papermill."""

from dataclasses import dataclass

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"  # as MLflow has them


@dataclass(frozen=True)
class Outcome:
    """One execution, ended."""

    name: str
    status: str
    run_id: str = ""  # empty where not even the run could be made
    seconds: float = 0.0
    metric: tuple[str, float] | None = None  # the number by which one looks at the run first
    error: str = ""
