"""Writing into the run folder that MFLIB_RUN_DIR names, whole or not at all."""

import errno
import json
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

_said_so = False


def append(lines: list[dict], name: str = "metrics.jsonl") -> None:
    """Append lines of JSON, each with the time; without a run folder, do nothing.

    Parameters
    ----------
    lines : list of dict
    name : str
        The file.

    Raises
    ------
    OSError
        If the disk is full; the file is as it was.
    """
    folder = _folder()
    if folder is None:
        return
    now = int(time.time() * 1000)
    text = "".join(json.dumps({**line, "time": now}) + "\n" for line in lines).encode()
    # in one write, so that a process killed meanwhile leaves whole lines before
    with open(folder / name, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        if file.write(text) < len(text):  # what a full disk does, and raises nothing
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / name))


@contextmanager
def new_file(name: str):
    """A file under artifacts/ to write, that gets its name only when it is complete; None without a run.

    Parameters
    ----------
    name : str
        With its folder. What ends in `.csv` is text, all else bytes.
    """
    folder = _folder()
    if folder is None:
        yield None
        return
    target = folder / "artifacts" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = {"mode": "w", "encoding": "utf-8", "newline": ""}
    mode = text if target.suffix == ".csv" else {"mode": "wb"}
    handle, temporary = tempfile.mkstemp(dir=folder)
    try:
        with open(handle, **mode) as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _folder() -> Path | None:
    """The folder of this run; without one, say so once."""
    global _said_so
    if folder := os.environ.get("MFLIB_RUN_DIR"):
        return Path(folder)
    if not _said_so:
        _said_so = True
        print("Opened by hand: nothing is recorded (record = True does, or mflib run).")
    return None
