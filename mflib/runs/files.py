"""Files that a user names, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from mflib.runs.project import InputError


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name beside it, then give it its own.

    Parameters
    ----------
    path : Path
    text : str
        Written as UTF-8.

    Raises
    ------
    InputError
        If the file cannot be written; what stood there before is as it was.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files for oneself alone
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
