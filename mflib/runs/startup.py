"""What each process of the workflow does first."""

import sys


def spare_imports() -> None:
    """Keep nbformat from importing what takes a third of the start of a process and is of no use here.

    It imports jsonschema, and that rfc3987_syntax where it is installed, which builds a grammar for a
    second: of international addresses, which a notebook's schema does not ask for. Where the import fails,
    jsonschema goes without. Kernels import none of it.
    """
    sys.modules.setdefault("rfc3987_syntax", None)
