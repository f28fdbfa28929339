"""A Jupyter kernel of this very interpreter, which never outlives the notebook it was started for."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_core.utils import run_sync

_START = Path(__file__).with_name("kernel_start.py")


class _ThisInterpreter(KernelSpecManager):
    """Whatever kernels are installed for the user: the one started is the Python that runs now."""

    def get_kernel_spec(self, kernel_name):
        launch = [sys.executable, str(_START), "-f", "{connection_file}"]
        quiet = "--IPKernelApp.log_level=40"  # else a TCP warning stands in the first output
        return KernelSpec(argv=[*launch, quiet], display_name="Python 3 (ipykernel)", language="python")


def environment() -> dict[str, str]:
    """The environment of this process, as a kernel finds it.

    One BLAS thread unless the user says otherwise, because the bits of a product depend on them.
    """
    users = {name: value for name, value in os.environ.items() if name != "MFLIB_RUN_DIR"}
    return {"OPENBLAS_NUM_THREADS": "1", **users}


@contextmanager
def kernel(folder: Path, scratch: Path, **env: str) -> Iterator[AsyncKernelManager]:
    """A started kernel; at the end it is shut down, and killed with all its children if it does not obey.

    Should this process be killed, the kernel and its children end by themselves (mflib.runs.kernel_start).

    Its IPython folder is empty, because somebody's start-up files must not change a result. What it puts into
    a temporary folder, or it and Jupyter tell each other, lies in `scratch` too and goes with it.

    Parameters
    ----------
    folder : Path
        The kernel's working folder.
    scratch : Path
        Where it may leave what nobody needs afterwards; its last words, if any, stand in kernel.log.
    **env : str
        More variables of its environment.
    """
    temporary = scratch / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {**environment(), "IPYTHONDIR": str(scratch / "ipython"), "TMPDIR": str(temporary), **env}
    connection = str(scratch / "connection.json")
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=_ThisInterpreter(), connection_file=connection
    )
    with open(scratch / "kernel.log", "wb") as log, _pipe() as pipe:
        run_sync(manager.start_kernel)(cwd=str(folder), env=env, stdin=pipe, stdout=log, stderr=log)
        group = manager.provisioner.pid  # a kernel leads a process group of its own
        obeys = False
        try:
            yield manager
            obeys = True
        finally:
            run_sync(manager.shutdown_kernel)(now=not obeys)
            kill(group)


@contextmanager
def _pipe() -> Iterator[int]:
    """The end of a pipe for the kernel, that is told by the other one when this process is no more."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def cause_of_death(manager: AsyncKernelManager) -> str:
    """How a dead kernel ended: SIGKILL is mostly a lack of memory, SIGSEGV a fault in compiled code."""
    process = getattr(manager.provisioner, "process", None)
    code = process.poll() if process else None
    if code is None:
        return "the kernel died"
    return f"the kernel died: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def kill(group: int) -> None:
    """End a kernel and its children at once."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
