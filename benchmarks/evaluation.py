"""What one evaluation of the loss and both gradients costs: mflib against its peers and the hardware.

Contenders are those of `contenders.py`; ratings are planted with the numbers of users and items of MovieLens'
editions, or those of ml-latest-small (left out where it is not there: MFLIB_DATA); a size of 100 shows what a
call costs. Each contender is first called once and must agree with the NumPy form to rounding. Then they take
turns, in another order each round, so that a slow minute hits all alike; a turn lasts 20 ms at least.
Medians count; the spread of a ratio is that over rounds. Slow peers are left out of some large cases, or an
hour would not do: PEERS_UP_TO says which, and so does the output.

Copies in the same run measure the bandwidth of the memory, bytes read and written counted.

    python benchmarks/evaluation.py [--sizes 1e6,2.5e7] [--k 32] [--rounds 5] [--json FILE]
"""

import argparse
import json
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path

import contenders
import numba
import numpy as np
import scipy
import speed

import mflib
from mflib import datasets, random_factors

RESULT = Path(__file__).parent / "results" / "evaluation.json"
# Users, items, ratings: two small sizes, then MovieLens 100k (the later edition), 1M, 10M and 25M.
SHAPES = {
    "100": (20, 30, 100),
    "1e5": (610, 9_724, 100_000),
    "1e6": (6_040, 3_706, 1_000_000),
    "1e7": (69_878, 10_677, 10_000_000),
    "2.5e7": (162_541, 59_047, 25_000_000),
}
REAL = "ml-latest-small"
FACTORS = (32, 8, 33, 128)
# Seconds of a case, and of the one whose ratios are the goals (k = 32, float32); rounds at least and at most.
SECONDS, SECONDS_OF_GOALS = 4, 40
FEWEST, MOST = 3, 50
TURN = 0.02
# From here on peers are measured at k = 32 alone, autograd in float32 alone.
PEERS_UP_TO = 1_000_000
PEERS = ("torch sampled_addmm", "NumPy + SciPy", "torch autograd")
# Of the largest entry: rounding of sums over up to 10⁵ ratings.
TOLERANCE = {"float32": 2e-4, "float64": 1e-11}
COPIED = 1 << 28


def main():
    """Measure size by size, print, and write JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join((*SHAPES, REAL)), help="default: %(default)s")
    parser.add_argument("--k", default=",".join(map(str, FACTORS)), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, help="so many, whatever time they take")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULT, help="default: %(default)s")
    options = parser.parse_args()
    sizes, factors = options.sizes.split(","), [int(k) for k in options.k.split(",")]
    unknown = [size for size in sizes if size not in (*SHAPES, REAL)]
    if unknown:
        parser.error(f"unknown size {unknown[0]}: known are {', '.join((*SHAPES, REAL))}")

    begin = time.perf_counter()
    measured = {"machine": machine(), "bandwidth": [], "cases": [], "left_out": []}
    print(", ".join(f"{key} {value}" for key, value in measured["machine"].items()), flush=True)
    for size in sizes:
        try:
            ratings = ratings_of(size)
        except (FileNotFoundError, MemoryError) as problem:
            measured["left_out"].append(f"{size}: {problem_in_words(problem)}")
            print(measured["left_out"][-1], flush=True)
            continue
        measured["bandwidth"] += bandwidth()
        for dtype, k in product(("float32", "float64"), factors):
            case = measure(size, ratings, k, dtype, options.rounds)
            measured["cases"].append(case)
            print(speed.case_in_words(case), flush=True)
        measured["seconds"] = round(time.perf_counter() - begin)
        write(options.json, measured)
    if not measured["cases"]:
        print("nothing was measured")
        return 1
    print(speed.report(measured))
    speed.picture(measured, options.json.with_suffix(".png"))
    print(f"\n{measured['seconds']} s; written to {options.json} and {options.json.with_suffix('.png').name}")
    return 0


def machine():
    """What was measured on, and with what."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text(encoding="utf-8").splitlines() if "model name" in line]
        cpu = names[0].split(":")[1].strip() if names else cpu
    try:
        import torch
    except ImportError:
        torch = None
    return {
        "cpu": cpu,
        "cores": contenders.cores(),
        "load": round(os.getloadavg()[0], 1),  # of others, before it begins
        "python": platform.python_version(),
        "mflib": mflib.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__ if torch else "none",
        "compiler": contenders.compiler() or "none",
    }


def ratings_of(size):
    """The ratings of a size, float64."""
    if size == REAL:
        return datasets.movielens(REAL).ratings
    return datasets.planted(*SHAPES[size], n_factors=4, noise=0.5, mean=3.5).ratings


def bandwidth(times=5):
    """Bytes read and written a second by a copy on all cores, several times."""
    source, target = np.ones(COPIED, dtype=np.uint8), np.empty(COPIED, dtype=np.uint8)
    cuts = np.linspace(0, COPIED, contenders.cores() + 1).astype(int)
    parts = [slice(*cut) for cut in pairwise(cuts)]
    copy = lambda part: np.copyto(target[part], source[part])  # noqa: E731
    found = []
    with ThreadPoolExecutor(len(parts)) as threads:  # NumPy copies without the interpreter's lock
        for _ in range(times + 1):
            begin = time.perf_counter()
            list(threads.map(copy, parts))
            found.append(2 * COPIED / (time.perf_counter() - begin))
    return [round(value) for value in found[1:]]  # the first touches new pages


def measure(size, ratings, k, dtype, rounds=None):
    """One case: seconds a call of each contender in each round."""
    ratings = ratings.astype(dtype)
    U, V = random_factors(ratings.shape, k, seed=1, mean=3.5, dtype=dtype)
    ready, left_out, estimate = {}, {}, {}
    expected = contenders.numpy_scipy(ratings, U, V)()
    for name, prepare in contenders.CONTENDERS.items():
        why = too_long(name, ratings.n_ratings, k, dtype)
        try:
            if why is None:
                call = prepare(ratings, U, V)
                why = difference(call(), expected, dtype)
                estimate[name] = seconds_of(call, 0)
                ready[name] = call
        except Exception as problem:  # a peer that fails is no reason to lose the others
            why = problem_in_words(problem)
        if why is not None:
            ready.pop(name, None)
            left_out[name] = why
    seconds = take_turns(ready, estimate, goal_case(k, dtype), rounds)
    n, m = ratings.shape
    about = {"size": size, "n_users": n, "n_items": m, "n_ratings": ratings.n_ratings, "k": k, "dtype": dtype}
    return {**about, "seconds": seconds, "left_out": left_out}


def too_long(name, n_ratings, k, dtype):
    """Why this contender is not measured in this case, or None."""
    if name not in PEERS or n_ratings <= PEERS_UP_TO:
        return None
    if k != 32:
        return "takes too long: from 10⁷ ratings on at k = 32 alone"
    if name == "torch autograd" and dtype != "float32":
        return "takes too long: from 10⁷ ratings on in float32 alone"
    return None


def difference(found, expected, dtype):
    """Where a contender's loss or gradients are not those of the NumPy form, in words, or None."""
    for what, x, y in zip(("loss", "∂E/∂U", "∂E/∂V"), found, expected, strict=True):
        off = float(np.max(np.abs(np.subtract(x, y))) / np.max(np.abs(y)))
        if not off <= TOLERANCE[dtype]:
            return f"WRONG: its {what} differs from that of the NumPy form by {off:.1g} of the largest entry"
    return None


def goal_case(k, dtype):
    """Whether goals are set for the ratios of this case."""
    return k == 32 and dtype == "float32"


def take_turns(ready, estimate, goals, rounds):
    """Seconds a call of each contender, one number a round."""
    a_round = sum(max(value, TURN) for value in estimate.values())
    if rounds is None:
        rounds = min(MOST, max(FEWEST, int((SECONDS_OF_GOALS if goals else SECONDS) / max(a_round, 1e-9))))
    seconds, order = {name: [] for name in ready}, np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(ready)):
            seconds[name].append(float(f"{seconds_of(ready[name], estimate[name]):.4g}"))
    return seconds


def seconds_of(call, estimate):
    """Seconds a call. A quick one is made once for the caches, then often."""
    calls = max(1, round(TURN / estimate)) if estimate else 1
    if calls > 1:
        call()
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begin) / calls


def problem_in_words(problem):
    """The first line of an error, without its folders."""
    if isinstance(problem, contenders.LeftOut):
        return str(problem)
    if isinstance(problem, FileNotFoundError):
        return "not found: MFLIB_DATA names the folder that holds it"
    return f"failed: {type(problem).__name__}: {(str(problem).splitlines() or [''])[0][:200]}"


def write(path, measured):
    """JSON, a case a line; readers never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    cases = ",\n".join(json.dumps(case) for case in measured["cases"])
    rest = {key: value for key, value in measured.items() if key != "cases"}
    beside.write_text(f'{json.dumps(rest)[:-1]},\n"cases": [\n{cases}\n]}}\n', encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
