"""One evaluation of E, ∂E/∂U and ∂E/∂V: mflib's time beside that of other libraries and of C.

In each round every contender runs once, in changing order, so that a slow minute of the machine hits all
alike; ratios are those of medians over the rounds, with the quartiles of the rounds' own ratios. All must
first agree with NumPy's result. The peers besides C run with k = 32 at every size, and with every k up to a
million ratings; automatic differentiation up to 10 million, because its gathered rows must fit the memory.

The ratings are planted with MovieLens' numbers of users and items; without a folder of data
(MFLIB_DATA) ml-latest-small is left out. Bandwidth is that of a copy by all threads in the same run.

    python benchmarks/evaluation.py [--sizes 1e5 1e6 …] [--k 8 32 …] [--dtypes float32 …] [--budget SECONDS]
                                    [--json FILE]
"""

import argparse
import json
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import peers

from mflib import datasets, get_num_threads, loss_and_gradients, set_num_threads, sparse_numpy

# users and items of MovieLens' sets of about so many ratings
SHAPES = {1e5: (610, 9_724), 1e6: (6_040, 3_706), 1e7: (69_878, 10_677), 2.5e7: (162_541, 59_047)}
SMALL = "ml-latest-small"
K = (8, 32, 33, 128)
RESULT = Path(__file__).parent / "results" / "evaluation.json"
ALL = get_num_threads()


def mflib_with(threads):
    """A contender: mflib with so many threads."""

    def prepared(ratings, U, V):
        def evaluate():
            set_num_threads(threads)
            return loss_and_gradients(ratings, U, V)

        return evaluate

    return prepared


CONTENDERS = {
    "mflib": mflib_with(ALL),
    "mflib, 1 thread": mflib_with(1),
    "C": peers.c_reference,
    "torch sampled_addmm": peers.torch_sampled,
    "NumPy + SciPy": peers.numpy_scipy,
    "torch autograd": peers.torch_autograd,
}


def taking_part(k, n_ratings):
    """Who runs with so many factors and ratings."""
    for name in CONTENDERS:
        quick = name.startswith("mflib") or name == "C"
        fits = name != "torch autograd" or n_ratings <= 1e7
        if quick or (fits and (k == 32 or n_ratings <= 1e6)):
            yield name


def ratings_of(size):
    """Planted ratings of a size, or those of MovieLens."""
    if size == SMALL:
        return datasets.movielens(SMALL).ratings
    n_users, n_items = SHAPES[size]
    return datasets.planted(n_users, n_items, int(size), n_factors=4, noise=0.5, mean=3.5).ratings


def measure(ratings, k, dtype, budget):
    """Seconds of each contender in each round, and who is left out, and why."""
    rng = np.random.default_rng(0)
    U, V = (rng.normal(0.3, 0.1, (rows, k)).astype(dtype) for rows in ratings.shape)
    ratings = ratings.astype(dtype)
    expected = sparse_numpy.loss_and_gradients(ratings, U, V)
    runs, absent = {}, {}
    for name in taking_part(k, ratings.n_ratings):
        try:
            runs[name] = CONTENDERS[name](ratings, U, V)
            must_agree(name, runs[name](), expected, 1e-3 if dtype == "float32" else 1e-9)
        except (peers.NotHere, ImportError) as reason:
            absent[name] = str(reason)
            runs.pop(name, None)
    seconds, names = {name: [] for name in runs}, list(runs)
    end = time.perf_counter() + budget
    while len(seconds["mflib"]) < 3 or (time.perf_counter() < end and len(seconds["mflib"]) < 60):
        names.append(names.pop(0))
        for name in names:
            begin = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds, absent


def must_agree(name, found, expected, tolerance):
    """A peer that computes something else is no peer."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            one, other, rtol=tolerance, atol=tolerance * np.max(np.abs(other)), err_msg=name
        )


def small_call():
    """Microseconds of a call on 100 ratings, once warm."""
    ratings, U, V = datasets.planted(40, 30, 100, n_factors=32)
    loss_and_gradients(ratings, U, V)
    seconds = []
    for _ in range(300):
        begin = time.perf_counter()
        loss_and_gradients(ratings, U, V)
        seconds.append(time.perf_counter() - begin)
    return 1e6 * float(np.median(seconds))


def bandwidth():
    """Bytes a second that a copy reads and writes, with all threads."""
    source = np.zeros(1 << 28, dtype=np.uint8)
    target = np.ones_like(source)
    parts = list(zip(np.array_split(target, ALL), np.array_split(source, ALL), strict=True))
    seconds = []
    with ThreadPoolExecutor(ALL) as pool:
        for _ in range(9):
            begin = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(*pair), parts))
            seconds.append(time.perf_counter() - begin)
    return 2 * source.nbytes / float(np.median(seconds))


def least_bytes(ratings, k, dtype):
    """Bytes that must pass for a rating, however large the caches are.

    Index and value of each rating in both orders; each factor read in both passes, each gradient written.
    """
    number = np.dtype(dtype).itemsize
    return 2 * (4 + number) + 3 * sum(ratings.shape) * k * number / ratings.n_ratings


def summary(seconds, n_ratings):
    """Nanoseconds a rating, and the ratio to mflib's time, each with quartiles."""
    own = np.array(seconds["mflib"])
    found = {}
    for name, taken in seconds.items():
        taken = np.array(taken)
        found[name] = {
            "nanoseconds": [float(q) for q in np.percentile(taken, (25, 50, 75)) / n_ratings * 1e9],
            "ratio": float(np.median(taken) / np.median(own)),
            "ratio_quartiles": [float(q) for q in np.percentile(taken / own, (25, 75))],
            "rounds": len(taken),
        }
    return found


def processor():
    """What the processor is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(case):
    """A line for each contender."""
    print(f"\n{case['ratings']} · k = {case['k']} · {case['dtype']}", flush=True)
    for name, found in case["contenders"].items():
        low, high = found["ratio_quartiles"]
        middle = found["nanoseconds"][1]
        print(
            f"  {name:22} {middle:8.2f} ns a rating   {found['ratio']:6.2f} × mflib ({low:.2f} to {high:.2f})"
        )
    for name, reason in case["absent"].items():
        print(f"  {name:22} left out: {reason}")


def main():
    """Measure, print, and write JSON after each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="*", default=[SMALL, *map(str, SHAPES)], help=f"{SMALL}, 1e5 … 2.5e7"
    )
    parser.add_argument("--k", nargs="*", type=int, default=K)
    parser.add_argument("--dtypes", nargs="*", default=["float32", "float64"])
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of rounds for each case")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULT)
    options = parser.parse_args()
    result = {
        "processor": processor(),
        "threads": ALL,
        "bandwidth": bandwidth(),
        "small_call_microseconds": small_call(),
        "cases": [],
    }
    print(f"{result['processor']}, {ALL} threads, a copy moves {result['bandwidth'] / 1e9:.1f} GB/s")
    print(f"a call on 100 ratings: {result['small_call_microseconds']:.0f} µs")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    for size in options.sizes:
        try:
            ratings = ratings_of(size if size == SMALL else float(size))
        except FileNotFoundError as reason:
            print(f"\n{size} left out: {reason}")
            continue
        for dtype in options.dtypes:
            for k in options.k:
                seconds, absent = measure(ratings, k, dtype, options.budget)
                case = {
                    "ratings": size,
                    "n_ratings": ratings.n_ratings,
                    "k": k,
                    "dtype": dtype,
                    "least_bytes": least_bytes(ratings, k, dtype),
                    "contenders": summary(seconds, ratings.n_ratings),
                    "absent": absent,
                }
                result["cases"].append(case)
                show(case)
                new = options.json.with_suffix(".new")
                new.write_text(json.dumps(result, indent=1) + "\n")
                os.replace(new, options.json)
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
