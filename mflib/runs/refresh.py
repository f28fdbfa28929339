"""`python -m mflib.runs.refresh NOTEBOOK …`: store the outputs of one clean run in each notebook."""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from mflib.runs.kernel import kernel

_CELL_SECONDS = 300


def refresh(notebook: Path) -> None:
    """Execute a notebook from top to bottom, as opened by hand, and only then replace its stored outputs.

    What differs from run to run (times of cells, the Python version) is left out.

    Parameters
    ----------
    notebook : Path

    Raises
    ------
    nbclient.exceptions.CellExecutionError, CellTimeoutError, DeadKernelError
        If a cell raises, takes too long or kills the kernel; the file stays as it was.
    """
    content = nbformat.read(notebook, as_version=4)
    with (
        tempfile.TemporaryDirectory(prefix="mflib-", ignore_cleanup_errors=True) as scratch,
        kernel(notebook.resolve().parent, Path(scratch)) as manager,
    ):
        # one output for what one cell prints: where the kernel cuts its stream is chance
        NotebookClient(
            content, km=manager, timeout=_CELL_SECONDS, record_timing=False, coalesce_streams=True
        ).execute()
    for cell in content.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    content.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.write(content, notebook)


def main(notebooks: list[str]) -> int:
    """Refresh each; 1 if any could not be, which stays as it was."""
    failed = 0
    for name in notebooks:
        try:
            refresh(Path(name))
            print(f"{name}: refreshed", flush=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed = 1
            print(f"{name}: left as it was: {error}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
