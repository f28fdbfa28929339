"""Run by its path in a process that is to become a kernel: `python kernel_start.py …` for ipykernel_launcher.

The standard input is a pipe of which the process that started this one holds the other end. When that is no
more, however it ended, the kernel and all its children go too. ipykernel itself looks whether its parent has
changed, but not while it starts, and leaves its children. Nothing of mflib is imported here.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_parent(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: it returns when the other end is closed
    os.killpg(0, signal.SIGKILL)  # a kernel leads a process group of its own


if __name__ == "__main__":
    pipe = os.dup(0)  # cells and their children get an empty standard input
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    sys.path[0] = os.getcwd()  # as `python -m` has it
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
