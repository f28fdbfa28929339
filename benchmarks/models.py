"""Best test RMSE and time to a given test RMSE: mflib against Surprise, cmfrec and LIBMF.

    ml-latest-small   five seeded folds (left out where the data is not there: MFLIB_DATA)
    1e6               planted, with the numbers of users and items of MovieLens 1M, rank 16, noise 0.5
    2.5e7             the same with those of MovieLens 25M, without Surprise
    lecture           2,000 momentum iterations, k = 50, against the same loop in NumPy and SciPy

Planted ratings have one split, a tenth for test. Each contender is measured at each setting of a small grid
(`models_grid.py`) on the same folds, with two threads where it has threads, its predictions clipped to the
same range. The setting with the lowest mean test RMSE counts: chosen by the test ratings, which favours
whoever has more settings. Those chosen are then measured again. Each turn, a contender on a fold, is a
process of its own, and turns come in random order. Medians of seconds count, means of RMSE.

    python benchmarks/models.py [--sizes 1e6,lecture] [--only LIBMF,cmfrec] [--repeats 1] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import curves
import evaluation
import models_contenders
import models_loop
import models_report
import numpy as np
from models_grid import FOLDS_OF, GRIDS

from mflib import Ratings, datasets

RESULT = Path(__file__).parent / "results" / "models.json"
FOLDS = 5
REAL = evaluation.REAL
# Not the settings of `evaluation`: the rank and the noise are such that the best RMSE is worth finding.
PLANTED = {"n_factors": 16, "noise": 0.5, "mean": 3.5}
SIZES = (REAL, "1e6", "2.5e7")
LOOP = "lecture"


def main():
    """Measure size by size, print, and write JSON after each turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join((*SIZES, LOOP)), help="default: %(default)s")
    parser.add_argument("--only", help="these contenders, by name, with commas between")
    parser.add_argument("--repeats", type=int, default=1, help="further turns of the best settings")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULT, help="default: %(default)s")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        return turn(**json.loads(options.turn))
    sizes = options.sizes.split(",")
    names = options.only.split(",") if options.only else list(models_contenders.CONTENDERS)
    for what, given, known in (
        ("size", sizes, (*SIZES, LOOP)),
        ("contender", names, models_contenders.CONTENDERS),
    ):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown {what} {unknown[0]}: known are {', '.join(known)}")

    begin = time.perf_counter()
    measured = {"machine": machine(), "threads": models_contenders.THREADS, "turns": [], "left_out": []}
    print(", ".join(f"{key} {value}" for key, value in measured["machine"].items()), flush=True)
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="mflib-models-") as folder:
            try:
                n_folds = prepare(size, Path(folder)) if size != LOOP else 0
            except (FileNotFoundError, MemoryError) as problem:
                measured["left_out"].append(f"{size}: {evaluation.problem_in_words(problem)}")
                print(measured["left_out"][-1], flush=True)
                continue
            if size == LOOP:
                measured[LOOP] = alone({"loop": True})
            else:
                compare(measured, size, folder, n_folds, names, options)
        measured["seconds"] = round(time.perf_counter() - begin)
        write(options.json, measured)
    if not measured["turns"] and LOOP not in measured:
        print("nothing was measured")
        return 1
    print(models_report.report(measured))
    if measured["turns"]:
        models_report.picture(measured, options.json.with_suffix(".png"))
    print(f"\n{measured['seconds']} s; written to {options.json}")
    return 0


def machine():
    """What was measured on, and with what."""
    found = evaluation.machine()
    for key in ("torch", "compiler"):
        del found[key]
    for package in ("scikit-surprise", "cmfrec"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def prepare(size, folder):
    """Write train and test of each fold into the folder; the number of folds."""
    if size == REAL:
        splits = list(curves.folds(datasets.movielens(REAL).ratings, FOLDS))
    else:
        print(f"planting {size} ratings", flush=True)
        ratings = datasets.planted(*evaluation.SHAPES[size], **PLANTED).ratings
        parts = ratings.split(0.1, seed=0)
        splits = [curves.split(parts.train, parts.validation)]
    for fold, one in enumerate(splits):
        one.train.save(folder / f"train-{fold}.npz")
        one.test.save(folder / f"test-{fold}.npz")
        (folder / f"range-{fold}.json").write_text(json.dumps([one.low, one.high]), encoding="utf-8")
    return len(splits)


def compare(measured, size, folder, n_folds, names, options):
    """All settings on all folds, then the best setting of each contender again."""
    for repeat in range(1 + options.repeats):
        turns = []
        for name in names:
            grid = GRIDS[size].get(name, [])
            if repeat:
                best = models_report.chosen(measured, size, name)
                grid = [entry for entry in grid if best and models_report.setting_of(entry) == best]
            folds = range(min(n_folds, FOLDS_OF.get(name, n_folds))) if grid else ()
            turns += [{"size": size, "name": name, "grid": grid, "fold": fold} for fold in folds]
        for position in np.random.default_rng(repeat).permutation(len(turns)):
            take_turn(measured, folder, {**turns[position], "repeat": repeat})
            write(options.json, measured)


def take_turn(measured, folder, asked):
    """One turn in a process of its own: its curves are kept and printed."""
    size, name = asked["size"], asked["name"]
    without = f"{size}: without {name}: "
    if any(line.startswith(without) for line in measured["left_out"]):
        return
    load = os.getloadavg()[0]
    found = alone({**asked, "folder": folder})
    if "left_out" in found:
        measured["left_out"].append(without + found["left_out"])
        print(measured["left_out"][-1], flush=True)
    for curve in found.get("curves", []):
        of_turn = {key: asked[key] for key in ("size", "name", "fold", "repeat")}
        measured["turns"].append({**of_turn, "load": round(load, 1), **curve})
        print(models_report.turn_in_words(measured["turns"][-1]), flush=True)


def alone(asked):
    """What `turn` finds in a process of its own."""
    # BLAS on one thread: those who have threads of their own call it from each
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(models_contenders.THREADS)}
    done = subprocess.run(
        [sys.executable, __file__, "--turn", json.dumps(asked)],
        stdout=subprocess.PIPE,
        env={**os.environ, **threads},
        check=False,
    )
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"left_out": f"its process ended with {done.returncode} and said nothing"}


def turn(size=None, name=None, grid=(), fold=0, repeat=0, folder=None, loop=False):
    """What a process of its own does: the curve of each setting, or the lecture's loop, as a line of JSON."""
    if loop:
        found = models_loop.measure()
    else:
        low, high = json.loads((Path(folder) / f"range-{fold}.json").read_text(encoding="utf-8"))
        parts = (Ratings.load(Path(folder) / f"{part}-{fold}.npz") for part in ("train", "test"))
        found = {"curves": []}
        try:
            curve = models_contenders.CONTENDERS[name](curves.Split(*parts, low, high))
            for entry in grid:
                points = [models_report.rounded(point) for point in curve(**entry)]
                found["curves"].append({"setting": models_report.setting_of(entry), "curve": points})
        except Exception as problem:  # a peer that fails is no reason to lose the others
            found["left_out"] = evaluation.problem_in_words(problem)
    print(json.dumps(found))
    return 0


def write(path, measured):
    """JSON, a turn a line; readers never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    turns = ",\n".join(json.dumps(one) for one in measured["turns"])
    rest = {key: value for key, value in measured.items() if key != "turns"}
    beside.write_text(f'{json.dumps(rest)[:-1]},\n"turns": [\n{turns}\n]}}\n', encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
