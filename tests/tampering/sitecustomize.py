"""On PYTHONPATH, a process stops where it is told to, or its clock is set back.

MFLIB_STOP_AT is `module:function`, in front of which the first process that comes there stops: it makes the
file `here`, which holds its number, in the folder MFLIB_STOP_IN, and waits for the file `go`.

Where MFLIB_CLOCK_BACK names a file, the clock is an hour slow as soon as there is one.
"""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

MODULE, _, FUNCTION = os.environ.get("MFLIB_STOP_AT", "").partition(":")

CLOCK = os.environ.get("MFLIB_CLOCK_BACK")


class Finder:
    """Puts the stop into the module as soon as it has been executed, before others import from it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(Finder)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def and_patch(module):
            execute(module)
            setattr(module, FUNCTION, stopping(getattr(module, FUNCTION)))

        spec.loader.exec_module = and_patch
        return spec


def stopping(function):
    """The function, in front of which the process stops."""

    def stopped(*arguments, **named):
        folder = Path(os.environ["MFLIB_STOP_IN"])
        (mine := folder / str(os.getpid())).write_text(mine.name)
        try:
            os.link(mine, folder / "here")
        except FileExistsError:
            return function(*arguments, **named)
        while not (folder / "go").exists():
            time.sleep(0.02)
        return function(*arguments, **named)

    return stopped


if MODULE:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & would ignore it
    sys.meta_path.insert(0, Finder)

if CLOCK:
    clock = time.time
    time.time = lambda: clock() - 3600 * os.path.exists(CLOCK)
