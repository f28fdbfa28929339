"""`mflib doctor`: is everything as it has to be, and if not, what to do."""

import ast
import importlib.metadata
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mflib import datasets
from mflib.runs import heal, owner
from mflib.runs.project import InputError, root, shown
from mflib.runs.store import Store, locate, open_store
from mflib.text import first_line

OK, PROBLEM, FIXED = "ok", "problem", "fixed"
_INSTALL = f"`{sys.executable} -m pip install -r requirements.txt`"
_SHOWN = 5  # of a list


class Finding(NamedTuple):
    """What one check found: ok, a problem with what to do, or one that has been fixed."""

    check: str
    state: str
    text: str


def examine(fix: bool) -> Iterator[Finding]:
    """Carry out every check, the quick ones first.

    Parameters
    ----------
    fix : bool
        Heal or upgrade the store, hand in results that it does not have, and mark runs whose process is dead
        as KILLED. Nothing is ever installed or removed: the command is said.

    Yields
    ------
    Finding
        One a check.
    """
    yield Finding("python", *python())
    yield Finding("versions", *versions())
    yield Finding("threads", *threads())
    yield Finding("data", *data())
    yield Finding("kernel", *kernel())
    state, text = store(fix)
    yield Finding("store", state, text)
    if state == PROBLEM:
        for check in ("unsent", "runs"):
            yield Finding(check, PROBLEM, "not looked at, because of the store")
    else:
        yield Finding("unsent", *unsent(locate(), fix))
        yield Finding("runs", *runs(locate(), fix))


def python() -> tuple[str, str]:
    """The interpreter is one that mflib is made for."""
    from packaging.specifiers import SpecifierSet

    needed = importlib.metadata.metadata("mflib")["Requires-Python"]
    here = f"{platform.python_version()}, {sys.executable}"
    if SpecifierSet(needed).contains(platform.python_version(), prereleases=True):
        return OK, here
    return PROBLEM, f"{here}; mflib needs {needed}: make the environment again with such a Python"


def versions() -> tuple[str, str]:
    """The installed packages are those of requirements.txt."""
    lock = root() / "requirements.txt"
    if not lock.is_file():
        return OK, f"{root()} has no requirements.txt to compare with"
    wrong = [*_differing(lock.read_text(encoding="utf-8").splitlines())]
    if not wrong:
        return OK, "as in requirements.txt"
    return PROBLEM, f"{len(wrong)} not as in requirements.txt: {_listed(wrong)}; {_INSTALL}"


def _differing(lines: list[str]) -> Iterator[str]:
    """The packages of a lock that are missing here or of another version."""
    from packaging.requirements import Requirement

    for line in lines:
        if not line.strip() or line.startswith(("#", " ")):
            continue
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found == "missing" or not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} {found} (not {wanted.specifier})"


def threads() -> tuple[str, str]:
    """The bits of a result do not depend on the number of threads, and there are not more than cores."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    cores = f"{usable} of {os.cpu_count()} cores usable"
    if said.get("OPENBLAS_NUM_THREADS", "1") != "1":
        return PROBLEM, f"{cores}; OPENBLAS_NUM_THREADS changes the bits of matrix products: unset it"
    numba = said.get("NUMBA_NUM_THREADS", "1")
    if not numba.isdecimal() or not 1 <= int(numba) <= usable:
        return PROBLEM, f"{cores}; NUMBA_NUM_THREADS is {numba}: unset it, or set it to 1 to {usable}"
    return OK, ", ".join([cores, *(f"{name}={value}" for name, value in sorted(said.items()))])


def data() -> tuple[str, str]:
    """MovieLens is found where notebooks look for it; without it the planted ratings serve."""
    folder = os.environ.get("MFLIB_DATA")
    if folder and not Path(folder).is_dir():
        return PROBLEM, f"MFLIB_DATA={folder} is no folder: set it to the one that holds ml-latest-small"
    try:
        return OK, f"MovieLens is {datasets.movielens_file().absolute()}"
    except FileNotFoundError as error:
        return PROBLEM if folder else OK, f"{error}; notebooks take planted ratings by default"


def kernel() -> tuple[str, str]:
    """The kernel that `mflib run` starts is this interpreter, and so is JupyterLab's."""
    try:
        found = _kernel_of_runs()
    except Exception as error:
        return PROBLEM, f"no kernel starts ({first_line(error)}); {_INSTALL}"
    if found != sys.executable:
        return PROBLEM, f"notebooks would run with {found}, not with {sys.executable}; {_INSTALL}"
    if other := _other_kernel_of_jupyter():
        return PROBLEM, (
            f"`mflib run` starts {sys.executable}, but JupyterLab the one of {other}: "
            "`jupyter kernelspec remove python3` removes that, or unset JUPYTER_PREFER_ENV_PATH"
        )
    return OK, "notebooks run with this interpreter, in JupyterLab too"


def _kernel_of_runs() -> str:
    """The interpreter of a kernel that was really started."""
    from mflib.runs.kernel import kernel

    with (
        tempfile.TemporaryDirectory(prefix="mflib-", ignore_cleanup_errors=True) as scratch,
        kernel(Path(scratch), Path(scratch)) as manager,
    ):
        client = manager.blocking_client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            asked = client.execute(
                "import sys, mflib", user_expressions={"it": "sys.executable"}, reply=True, timeout=60
            )
        finally:
            client.stop_channels()
    if asked["content"]["status"] != "ok":
        raise RuntimeError(asked["content"]["evalue"])
    return ast.literal_eval(asked["content"]["user_expressions"]["it"]["data"]["text/plain"])


def _other_kernel_of_jupyter() -> str:
    """The folder of the kernel that Jupyter calls python3, if it is not this interpreter."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return ""
    own = ("python", "python3", f"python3.{sys.version_info.minor}")  # these Jupyter takes for its own
    program = shutil.which(spec.argv[0]) or spec.argv[0]
    same = spec.argv[0] in own or Path(program).absolute().parent == Path(sys.executable).parent
    return "" if same else spec.resource_dir


def store(fix: bool) -> tuple[str, str]:
    """The store is there, of this MLflow, at its place and writable."""
    found, done = locate(), ""
    try:
        if found.database and found.database.exists():
            if fix:
                done = _mend(found)
            elif former := heal.moved_from(found.database, found.artifacts):
                what = f"its artifacts were in {former.parent} when it was last opened"
                return PROBLEM, f"{found.place}: {what}; the next run heals it, or --fix"
        elif found.database:
            there = next(folder for folder in found.database.parents if folder.exists())
            if not os.access(there, os.W_OK):
                return PROBLEM, f"{found.place} does not exist yet, and {there} cannot be written"
            return OK, f"{found.place} does not exist yet: the first run makes it"
        open_store()
    except InputError as error:
        return PROBLEM, str(error)
    except sqlite3.Error as error:
        return PROBLEM, f"{found.place}: cannot be read: {error}; put it aside, or a copy of it back"
    if done:
        return FIXED, f"{found.place}: {done}"
    if retired := _retired(found):
        return PROBLEM, f"{retired} holds runs of MLflow's retired file store, which are not shown: " + (
            "`mlflow migrate-filestore --source FOLDER --target sqlite:///FILE`, then move it away"
        )
    return OK, f"{found.place} can be written"


def _mend(found: Store) -> str:
    """Upgrade and heal; what was done, empty for nothing."""
    done = []
    if heal.is_older(found.database):
        done.append(f"upgraded, as it was it is in {heal.upgrade(found.database).name}")
    heal.check_schema(found.database)
    if heal.heal(found.database, found.artifacts):
        done.append("its paths lead to where the artifacts are now")
    return "; ".join(done)


def _retired(found: Store) -> Path | None:
    """A folder of the store that only an MLflow of old could read, and today's refuses to see."""
    if not found.database:
        return None
    return next((path.parent for path in found.database.parent.glob("[0-9]*/meta.yaml")), None)


def unsent(found: Store, fix: bool) -> tuple[str, str]:
    """No run folder has been left whose results the store does not have."""
    from mflib.runs.unsent import hand_in, left

    folders = left(found)
    if not folders:
        return OK, "no results wait to be handed in"
    named = _listed([shown(folder) for folder in folders])
    if not fix:
        return (
            PROBLEM,
            f"{len(folders)} with results that the store does not have: {named}; --fix hands them in",
        )
    failed = []
    for folder in folders:
        try:
            hand_in(found, folder)
        except Exception as error:
            failed.append(f"{shown(folder)} ({first_line(error)})")
    if failed:
        what = f"{len(failed)} of {len(folders)} cannot be handed in: {_listed(failed)}"
        return PROBLEM, f"{what}; mend what is said, or remove the folder"
    return FIXED, f"handed in {len(folders)}: {named}"


def runs(found: Store, fix: bool) -> tuple[str, str]:
    """No run has been left RUNNING, and without results, by a process that is dead."""
    if found.database and not found.database.exists():
        return OK, "none yet"
    from mflib.runs.unsent import end_abandoned, left

    waiting = {folder.name for folder in left(found)}  # told of before
    client = found.client()
    places = [one.experiment_id for one in client.search_experiments()]
    running = client.search_runs(places, "attributes.status = 'RUNNING'")
    states = {run: owner.judge(run.data.tags) for run in running}
    dead = [run for run, state in states.items() if state == owner.DEAD and run.info.run_id not in waiting]
    unknown = [_named(run) for run, state in states.items() if state == owner.UNKNOWN]
    elsewhere = f"; of another machine, or unknown: {_listed(unknown)}" if unknown else ""
    abandoned = f"{len(dead)} left RUNNING by a dead process: {_listed([_named(run) for run in dead])}"
    if not dead:
        return OK, f"none left RUNNING by a dead process{elsewhere}"
    if not fix:
        return PROBLEM, f"{abandoned}; --fix marks them as KILLED{elsewhere}"
    for run in dead:
        end_abandoned(found, run)
    return FIXED, f"{abandoned}; now KILLED{elsewhere}"


def _named(run) -> str:
    return f"{run.info.run_id[:8]} ({run.info.run_name})"


def _listed(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
