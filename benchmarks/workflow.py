"""What recording costs: on top of an execution, for a long history, and in a sweep with two points at once.

    recording   a notebook by nbclient alone, then through `mflib run`: at most 3 s more
    history     10,000 iterations, with loss, validation RMSE and seconds, into the store: at most 1.5 s
    sweep       16 points of a notebook that does nothing, singly, then two at once: at most 60 % of the time

The two sides of a comparison take turns, so that a slow minute hits both alike; medians count.
CPU seconds, which others disturb less, stand beside the times. All happens in a temporary root.

    python benchmarks/workflow.py [--rounds 3] [--only recording|history|sweep] [--json FILE]
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np

NOTEBOOK = "05_ratings"
NBCLIENT = """
import sys, nbformat
from nbclient import NotebookClient
content = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(content, kernel_name="python3").execute()
nbformat.write(content, sys.argv[2])
"""
LIMITS = {"recording": 3.0, "history": 1.5, "sweep": 0.6}


def timed(*command, cwd):
    """Wall and CPU seconds of a command and all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, *command], cwd=cwd, check=True, **quiet)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def take_turns(rounds, **sides):
    """Median wall and CPU seconds of each side; the first round, which makes caches, is left out."""
    measured = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            measured[name].append(side())
    found = {}
    for name, times in measured.items():
        walls, cpus = zip(*times[1:], strict=True)
        found[name] = {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}
        found[name]["all_seconds"] = walls
        print(f"  {name}: {found[name]['seconds']:.2f} s, {found[name]['cpu_seconds']:.2f} s of CPU")
    return found


def recording(root, rounds):
    """A notebook by nbclient alone, and recorded."""
    folder = root / "notebooks"
    plain = ("-c", NBCLIENT, f"{NOTEBOOK}.ipynb", str(root / "executed.ipynb"))
    recorded = ("-m", "mflib.cli", "run", "--notebook", NOTEBOOK)
    found = take_turns(
        rounds, nbclient=lambda: timed(*plain, cwd=folder), mflib=lambda: timed(*recorded, cwd=root)
    )
    return found["mflib"]["seconds"] - found["nbclient"]["seconds"], found


def history(root, rounds):
    """Into the run folder, as a notebook does, and from there into the store."""
    from mflib.runs import record_history
    from mflib.runs.collect import keep
    from mflib.runs.store import open_store

    n = 10_000
    rows = np.zeros(n, [("iteration", int), ("loss", float), ("validation_rmse", float), ("seconds", float)])
    rows["iteration"] = rows["seconds"] = np.arange(n)
    rows["loss"] = rows["validation_rmse"] = 1 / (1 + np.arange(n))
    store = open_store()

    def log():
        run_id = store.client().create_run(store.experiment("history")).info.run_id
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "artifacts").mkdir()
            os.environ["MFLIB_RUN_DIR"] = folder
            begin, cpu = time.perf_counter(), time.process_time()
            record_history(rows)
            keep(store, run_id, Path(folder), {"seed": 0}, 1.0)
            return time.perf_counter() - begin, time.process_time() - cpu

    found = take_turns(rounds, history=log)
    return found["history"]["seconds"], found


def sweep(root, rounds):
    """The same 16 points one by one and two at once, each time a sweep of its own."""
    cell = nbformat.v4.new_code_cell("seed: int = 0", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), root / "notebooks" / "trivial.ipynb")
    (root / "params").mkdir()
    number = iter(range(1000))

    def points(jobs):
        name = f"sweep-{next(number)}"
        text = f"experiment: {name}\nruns: [{{notebook: trivial}}]\nsweep: {{seed: {[*range(16)]}}}\n"
        (root / "params" / f"{name}.yaml").write_text(text)
        return timed("-m", "mflib.cli", "sweep", f"params/{name}.yaml", "--jobs", jobs, cwd=root)

    found = take_turns(rounds, one=lambda: points("1"), two=lambda: points("2"))
    return found["two"]["seconds"] / found["one"]["seconds"], found


def main():
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[*LIMITS], help="this measurement alone")
    parser.add_argument("--json", metavar="FILE", help="write the measurements there")
    options = parser.parse_args()

    os.environ["MFLIB_ROOT"] = root = tempfile.mkdtemp(prefix="mflib-")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    shutil.copytree(Path(__file__).resolve().parents[1] / "notebooks", Path(root) / "notebooks")
    found = {"cores": os.cpu_count(), "rounds": options.rounds}
    try:
        for measure in (recording, history, sweep):
            name = measure.__name__
            if options.only in (None, name):
                print(f"{name}, load {os.getloadavg()[0]:.1f}", flush=True)
                value, times = measure(Path(root), options.rounds)
                met = "met" if value <= LIMITS[name] else "not met"
                print(f"  {value:.2f}, limit {LIMITS[name]}: {met}", flush=True)
                found[name] = {"value": value, "limit": LIMITS[name], "load": os.getloadavg()[0], **times}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
