"""The lecture's own loop on real ratings: momentum on 80 % of ml-latest-small, k = 50, 2,000 iterations.

What later kernels are measured against. Without the data (MFLIB_DATA or ./ml-latest-small) planted ratings of
the same size serve, and the output says so. Float64 and float32 take turns, so that a slow minute of the
machine hits both alike.

    python benchmarks/lecture_loop.py [--iterations 2000] [--repeats 1] [--json FILE]
"""

import argparse
import json
import os
import platform
import time

import numpy as np

import mflib
from mflib import datasets, descend, loss, random_factors

LEARNING_RATE = 20.0  # 50 diverges


def load():
    """Ratings and where they came from."""
    try:
        ratings, _, source = datasets.movielens("ml-latest-small")
        return ratings, source.parent.name
    except FileNotFoundError as error:
        print(f"{error}\nPlanted ratings of the same size are used instead.\n")
        shape = {"n_users": 610, "n_items": 9724, "n_ratings": 100_836, "n_factors": 4}
        return datasets.planted(**shape, noise=0.7, mean=3.5).ratings, "planted"


def measure(train, validation, n_factors, iterations, dtype):
    """One descent: seconds of it all and what it reached."""
    U, V = random_factors(train.shape, n_factors, scale=0.02, mean=train.values.mean(), dtype=dtype)
    begin = time.perf_counter()
    result = descend(train, U, V, "momentum", learning_rate=LEARNING_RATE, iterations=iterations)
    seconds = time.perf_counter() - begin
    return {
        "dtype": np.dtype(dtype).name,
        "seconds": seconds,
        "seconds_per_iteration": seconds / iterations,
        "nanoseconds_per_rating": 1e9 * seconds / (iterations * train.n_ratings),
        "iterations": int(result.history["iteration"][-1]),
        "stopped_because": result.stopped_because,
        "loss": float(result.history["loss"][-1]),
        "rmse_validation": loss(validation, result.U, result.V) ** 0.5,
    }


def main():
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--n-factors", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the measurements there")
    options = parser.parse_args()

    ratings, source = load()
    train, validation, _ = ratings.split(0.2, seed=0)
    print(f"{source}: {train.n_ratings:,} ratings to train on, k = {options.n_factors}", flush=True)
    measure(train, validation, options.n_factors, 2, np.float64)  # imports and caches, not counted
    runs = []
    for _ in range(options.repeats):
        for dtype in (np.float64, np.float32):
            run = measure(train, validation, options.n_factors, options.iterations, dtype)
            runs.append(run)
            print(
                f"{run['dtype']}: {run['iterations']} iterations in {run['seconds']:.1f} s, "
                f"{1000 * run['seconds_per_iteration']:.1f} ms each, "
                f"{run['nanoseconds_per_rating']:.0f} ns a rating; "
                f"E = {run['loss']:.4g}, held-out RMSE {run['rmse_validation']:.4g}",
                flush=True,
            )
    if options.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        about = {"data": source, "digest": ratings.digest, "k": options.n_factors, "mflib": mflib.__version__}
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({**about, **machine, "runs": runs}, file, indent=2)


if __name__ == "__main__":
    main()
