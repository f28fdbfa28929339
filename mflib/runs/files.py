"""Files that a user names, written whole or not at all."""

import os
import uuid
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
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        # not mkstemp, whose files are for oneself alone: to know the umask is to change it for all threads
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
