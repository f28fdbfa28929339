"""Recording from a notebook that is opened by hand, in JupyterLab for instance.

The kernel writes its results into a folder, as under `mflib run`, and imports no MLflow. A process beside it
(mflib.runs.follow) brings them into one run, and completes the run when the kernel ends, however it ends.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mflib.runs import owner
from mflib.runs.project import InputError, find_notebook

_LAST_WORDS_SECONDS = 4  # Jupyter kills a kernel that takes longer than 5 s to end
_END_SECONDS = 60
_current: "_Recording | None" = None


def recording(record: bool, notebook: str, namespace: Mapping[str, Any]) -> None:
    """Record what follows, if asked to, in a notebook opened by hand; under `mflib run` do nothing.

    Called again in the same kernel with the same parameters, it goes on with the same run, in which a result
    recorded again replaces the one before. With other parameters, it completes the run and begins another;
    with `record=False`, it completes the run.

    Parameters
    ----------
    record : bool
        The notebook's parameter of this name.
    notebook : str
        The name of the notebook, with or without `.ipynb`.
    namespace : mapping of str to object
        Where its parameters stand: `globals()`.

    Raises
    ------
    InputError
        If there is no such notebook, a parameter is not of its declared type, or the store cannot be written.
    """
    global _current
    if _current is None and "MFLIB_RUN_DIR" in os.environ:
        return
    wanted = (notebook, _parameters(notebook, namespace)) if record else None
    if _current and (_current.wanted != wanted or not _current.goes_on()):
        _current.end(_END_SECONDS)
        _current = None
    if wanted and not _current:
        _current = _Recording(*wanted)
    if _current:
        print(f"Recording into run {_current.run_id[:8]}.")


def _parameters(notebook: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a notebook's parameters have now, checked."""
    from mflib.runs.declared import convert, declared

    known = declared(find_notebook(notebook, "recording"))
    missing = [name for name in known if name not in namespace]
    if missing:
        raise InputError(f"{notebook}: parameter {missing[0]!r} has no value; run the parameters cell first")
    return {name: convert(namespace[name], one.kind, name) for name, one in known.items()}


class _Recording:
    """One run: its folder, and the process that follows it."""

    def __init__(self, notebook: str, parameters: dict[str, Any]):
        self.wanted = (notebook, parameters)
        self._kernel = os.getpid()
        self._folder = Path(tempfile.mkdtemp(prefix="mflib-"))
        about = {"notebook": notebook, "parameters": parameters, "kernel": owner.tags()}
        (self._folder / "begun.json").write_text(json.dumps(about), encoding="utf-8")
        with open(self._folder / "follow.log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mflib.runs.follow", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # it outlives a kernel that is killed with its whole group
            )
        said = self._process.stdout.readline().decode().strip()
        if said != "recording":
            shutil.rmtree(self._folder)
            raise InputError(f"nothing is recorded: {said or 'the process beside the kernel died'}")
        os.environ["MFLIB_RUN_DIR"] = str(self._folder)
        atexit.register(self.end, _LAST_WORDS_SECONDS)

    @property
    def run_id(self) -> str:
        """Of the run as it is now."""
        return (self._folder / "run_id").read_text()

    def goes_on(self) -> bool:
        """Whether the process that follows is still there."""
        return self._process.poll() is None

    def end(self, seconds: float) -> None:
        """Have the run completed, and wait for it so long."""
        if os.getpid() != self._kernel:
            return  # a fork of the kernel ends, not the kernel
        atexit.unregister(self.end)
        os.environ.pop("MFLIB_RUN_DIR", None)
        if self.goes_on():
            (self._folder / "ended").touch()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return  # it goes on by itself
            if self._process.returncode:
                print("The store did not take this run: `mflib doctor --fix` hands it in.")
        self._process.stdout.close()
