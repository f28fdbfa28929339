"""What the tests of faults share: notebooks, a process stopped where a fault is to strike, what is left."""

import ctypes
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

TAMPERING = str(Path(__file__).parent / "tampering")
RECORD = """
import os, sys, time
from mflib.runs import record_metrics, record_result, record_table
record_metrics({"loss": 0.5 + seed})
record_table("rows", [{"a": seed}])
record_result(x=[seed])
"""
DECLARED = "seed: int = 0"


def wait_for(process, *files: Path) -> None:
    """Wait until a process has made these files."""
    deadline = time.monotonic() + 100
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@contextmanager
def stopped(project, phase: str, *command: str, **env: str):
    """A process `mflib …` that has stopped in front of `module:function`; behind the context it goes on."""
    folder = project.root.parent / "stopped"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    env = {"PYTHONPATH": TAMPERING, "MFLIB_STOP_AT": phase, "MFLIB_STOP_IN": str(folder), **env}
    process = project.start(*command, **env)
    try:
        wait_for(process, folder / "here")
        yield process
    finally:
        (folder / "go").touch()


def below(process) -> list[psutil.Process]:
    """The processes that a process has started: kernels, workers."""
    return psutil.Process(process.pid).children(recursive=True)


def adopt_orphans() -> None:
    """Become the parent of processes whose own has died, as a desktop's session does; else init is it."""
    with suppress(AttributeError):  # of Linux alone
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether they end, by themselves, within seconds."""
    return psutil.wait_procs(processes, timeout=20)[1] == []


def recorded(project, name: str, uri: str | None = None) -> tuple:
    """Everything that a store has of a run: its fields, and the bytes of its artifacts."""
    client, run = project.client(uri), project.runs(uri)[name]
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files, "a run without artifacts"
    return run.to_dictionary(), files


@contextmanager
def small_disk(folder: Path, megabytes: int):
    """A disk of this size at the folder, as long as the context."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "mflib-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted, which needs root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Fill the disk of a folder to the last byte; without the file `ballast` there is room again."""
    with suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
