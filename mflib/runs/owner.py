"""Which process writes a run, so that a run whose process is no more can be told from one that goes on."""

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"
_HOST, _PID, _STARTED = "mflib.host", "mflib.pid", "mflib.process_started"


def tags(pid: int | None = None) -> dict[str, str]:
    """What names a process for good: this machine, its number, and when it started.

    Parameters
    ----------
    pid : int, optional
        This process by default.

    Returns
    -------
    dict of str to str
        As tags of a run. Numbers are given out again, so the start belongs to it: ticks since the machine
        was booted, and the id of that boot. Setting the clock changes neither.
    """
    pid = os.getpid() if pid is None else pid
    return {_HOST: _host(), _PID: str(pid), _STARTED: _started(pid)}


def judge(tags: Mapping[str, str]) -> str:
    """Whether the process that these tags name is still there.

    Parameters
    ----------
    tags : mapping of str to str
        As `tags` made them; others may stand beside them.

    Returns
    -------
    str
        `alive` or `dead`; `unknown` where it ran on another machine, or the tags are missing.

    Examples
    --------
    >>> judge(tags()), judge({**tags(), "mflib.process_started": "at another boot"}), judge({})
    ('alive', 'dead', 'unknown')
    """
    if tags.get(_HOST) != _host() or not tags.get(_PID, "").isdecimal() or _STARTED not in tags:
        return UNKNOWN
    return ALIVE if _started(int(tags[_PID])) == tags[_STARTED] else DEAD


def _host() -> str:
    """The machine: many a laptop has the name of another, so the id of the installation follows."""
    try:
        return f"{socket.gethostname()} {Path('/etc/machine-id').read_text()[:8]}".strip()
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When the process started; empty where there is none, or it has ended and only waits to be buried."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return shown.stdout.strip()
    try:
        # the name, which may hold anything, ends at the last bracket; then state, …, as 20th the start
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
