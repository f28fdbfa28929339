"""On PYTHONPATH, a process stops where it is told to, or its clock is set back.

MFLIB_STOP_AT is `module:function`, in front of which the first process that comes there stops: it makes the
file `here`, which holds its number, in the folder MFLIB_STOP_IN, and waits for the file `go`. In front of
MFLIB_DIE_AT that process kills itself afterwards.

Where MFLIB_CLOCK_BACK names a file, the clock is an hour slow as soon as there is one.
"""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

CLOCK = os.environ.get("MFLIB_CLOCK_BACK")


class Finder:
    """Puts the stop into the module as soon as it has been executed, before others import from it."""

    def __init__(self, place, tampered):
        self.module, _, self.function = place.partition(":")
        self.tampered = tampered

    def find_spec(self, name, path=None, target=None):
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def and_patch(module):
            execute(module)
            setattr(module, self.function, self.tampered(getattr(module, self.function)))

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


def dying(function):
    """The function, in front of which the process that had stopped dies."""

    def died(*arguments, **named):
        here = Path(os.environ["MFLIB_STOP_IN"]) / "here"
        if here.exists() and here.read_text() == str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return died


if "MFLIB_STOP_AT" in os.environ:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & would ignore it
    sys.meta_path.insert(0, Finder(os.environ["MFLIB_STOP_AT"], stopping))
if "MFLIB_DIE_AT" in os.environ:
    sys.meta_path.insert(0, Finder(os.environ["MFLIB_DIE_AT"], dying))

if CLOCK:
    clock = time.time
    time.time = lambda: clock() - 3600 * os.path.exists(CLOCK)
