"""What each process of the workflow does first, to start and to end in half of the time."""

import atexit
import gc
import sys


def quicken() -> None:
    """Spare this process, which belongs to the workflow, what costs seconds and is of no use to it.

    Importing MLflow and papermill makes so many objects that to look for garbage among them takes 0.4 s
    at the start, and 0.8 s at the end, when the system takes back all memory anyway.

    nbformat imports jsonschema, and that rfc3987_syntax where it is installed, which builds a grammar for
    1.1 s: of international addresses, which a notebook's schema does not ask for. Where the import fails,
    jsonschema goes without. Kernels import none of it.
    """
    gc.set_threshold(100_000)  # new objects between two searches; 700 (2,000 from Python 3.13 on) by default
    atexit.register(gc.freeze)  # what is frozen is not searched
    sys.modules.setdefault("rfc3987_syntax", None)
