"""One process with two threads against two worker processes with one thread each: `mflib.cluster`.

Ratings are planted with the numbers of users and items of MovieLens 1M and 25M, k = 16, float32. The two take
turns with each rule, in another order each round; of a turn the median iteration counts, without the first.
Then the plain rule runs on the two workers in 1, 2, 4, 8 and 16 blocks; and, with too few ratings for
computing to count, on 1, 2, 4 and 8 workers.

Bytes are counted, not computed: all that scheduler, client and workers write to their connections. Memory is
what a worker holds above what it held before the ratings came, the largest while they came included.

    python benchmarks/cluster.py [--sizes 1e6,2.5e7] [--rounds 7] [--json FILE]
"""

import argparse
import os
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import cluster_count
import cluster_report
import evaluation
import numpy as np
from distributed import Client

from mflib import blocks, cluster, descend, local_cluster, random_factors, set_num_threads

RESULT = Path(__file__).parent / "results" / "cluster.json"
SIZES = ("1e6", "2.5e7")
FACTORS, DTYPE = 16, "float32"
WORKERS = 2
ROUNDS = 7
ITERATIONS = {"1e6": 20, "2.5e7": 8}
# Steps so small that nothing diverges: what an iteration costs does not depend on them.
RULES = {
    "plain": {"learning_rate": 1e-3},
    "momentum": {"learning_rate": 1e-3},
    "conjugate": {},
    "alternating": {"reg": 0.01},
}
BLOCKS = (1, 2, 4, 8, 16)
MORE_WORKERS, FEW = (1, 2, 4, 8), 10_000
SENT = 1 << 26


def main():
    """Measure size by size, print, and write JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SIZES), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULT, help="default: %(default)s")
    options = parser.parse_args()
    sizes = options.sizes.split(",")
    if unknown := [size for size in sizes if size not in SIZES]:
        parser.error(f"unknown size {unknown[0]}: known are {', '.join(SIZES)}")

    begin = time.perf_counter()
    about = {**evaluation.machine(), "distributed": cluster_count.version()}
    for other in ("torch", "compiler", "scipy"):
        del about[other]
    measured = {"machine": about, "k": FACTORS, "dtype": DTYPE, "cases": []}
    print(", ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    set_num_threads(WORKERS)  # of this process; a worker has one
    with workers_of(WORKERS) as client:
        measured["seconds_a_byte"] = transfers(client)
        for size in sizes:
            print(f"planting {size} ratings", flush=True)
            ratings = evaluation.ratings_of(size).astype(DTYPE)
            start = random_factors(ratings.shape, FACTORS, seed=1, mean=3.5, dtype=DTYPE)
            measure(measured, client, size, ratings, start, options.rounds)
            measured["seconds"] = round(time.perf_counter() - begin)
            evaluation.write(options.json, measured)
    grow_workers(measured, sizes[0])
    measured["seconds"] = round(time.perf_counter() - begin)
    evaluation.write(options.json, measured)
    print(cluster_report.report(measured))
    print(f"\n{measured['seconds']} s; written to {options.json}")
    return 0


@contextmanager
def workers_of(n):
    """A client of a scheduler and workers on this machine; their bytes are counted."""
    with (
        local_cluster.started(n) as started,
        Client(started, direct_to_workers=True) as client,
    ):
        cluster_count.begin(client)
        yield client


def transfers(client, times=7):
    """Seconds a byte of an array from one worker to the other, several times."""
    one, other = sorted(client.scheduler_info(n_workers=-1)["workers"])
    array, found = np.ones(SENT, dtype=np.uint8), []
    for _ in range(times):
        there = client.scatter(array, workers=[one], hash=False)
        begin = time.perf_counter()
        client.submit(len, there, workers=[other], pure=False).result()
        found.append(float(f"{(time.perf_counter() - begin) / SENT:.4g}"))
    return found


def about_case(size, ratings, rule, n_blocks, workers=WORKERS):
    """What a case is of; its measurements are to come."""
    n, m = ratings.shape
    return {
        "size": size, "n_users": n, "n_items": m, "n_ratings": ratings.n_ratings,
        "rule": rule, "n_blocks": n_blocks, "workers": workers, "one": [], "two": [],
    }  # fmt: skip


def few_of(ratings):
    """So few ratings of the same users and items that computing does not count."""
    return ratings.subset(np.arange(0, ratings.n_ratings, max(1, ratings.n_ratings // FEW)))


def measure(measured, client, size, ratings, start, rounds):
    """All cases of a size: the rules on one process and on the workers, then more and fewer blocks."""
    # two blocks a worker at least, as the docs have it
    n_blocks = max(2 * WORKERS, len(blocks.cut(ratings.user_starts)) - 1)
    cases = {rule: about_case(size, ratings, rule, n_blocks) for rule in RULES}
    few = few_of(ratings)
    for rule in RULES:  # what is compiled or loaded once is no part of an iteration, nor of its memory
        on_workers(client, few, start, rule, WORKERS, 2)
        on_one(few, start, rule, 2)
    cluster_count.forget_the_most(client)
    before = cluster_count.memory(client)
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for rule in order.permutation(list(RULES)):
            case = cases[rule]
            for where in order.permutation(["one", "two"]):
                if where == "one":
                    case["one"].append(on_one(ratings, start, rule, ITERATIONS[size]))
                else:
                    add_turn(case, client, ratings, start, before, ITERATIONS[size])
    for n_blocks in BLOCKS:
        case = about_case(size, ratings, "plain", n_blocks)
        add_turn(case, client, ratings, start, before, ITERATIONS[size])
        cases["blocks", n_blocks] = case
    for case in cases.values():
        measured["cases"].append(case)
        print(cluster_report.case_in_words(case), flush=True)


def grow_workers(measured, size):
    """The plain rule on more and more workers that share the cores, with few ratings."""
    ratings = few_of(evaluation.ratings_of(size).astype(DTYPE))
    start = random_factors(ratings.shape, FACTORS, seed=1, mean=3.5, dtype=DTYPE)
    for workers in MORE_WORKERS:
        with workers_of(workers) as client:
            case = about_case(
                f"{ratings.n_ratings:.0e}".replace("e+0", "e"), ratings, "plain", workers, workers
            )
            on_workers(client, ratings, start, "plain", workers, 2)
            cluster_count.forget_the_most(client)
            before = cluster_count.memory(client)
            add_turn(case, client, ratings, start, before, ITERATIONS[size])
        measured["cases"].append(case)
        print(cluster_report.case_in_words(case), flush=True)


def add_turn(case, client, ratings, start, before, iterations):
    """A turn on the workers, its bytes and its memory added to the case."""
    found = on_workers(client, ratings, start, case["rule"], case["n_blocks"], iterations, case["workers"])
    case["two"].append(found["seconds"])
    case.setdefault("moved", []).append(found["moved"])
    now = found["memory"]
    case.setdefault("memory", []).append(max(now[at]["most"] - before[at]["now"] for at in before))
    case.setdefault("load", []).append(round(os.getloadavg()[0], 1))
    case["blocks_bytes"], case["V_bytes"] = found["blocks_bytes"], start[1].nbytes


def on_one(ratings, start, rule, iterations):
    """Median seconds an iteration in this process, the first left out."""
    found = descend(ratings, *start, iterations=iterations, **options_of(rule))
    return typical(found.history)


def on_workers(client, ratings, start, rule, n_blocks, iterations, workers=WORKERS):
    """The same on the workers, with bytes an iteration and the memory of each worker at the end."""
    counts, memory = {}, {}

    def callback(row, U, V):
        iteration = int(row["iteration"])
        if iteration in (1, iterations):
            counts[iteration] = cluster_count.moved(client)
        if iteration == iterations:
            memory.update(cluster_count.memory(client))

    cluster_count.forget_the_most(client)
    found = cluster.descend(
        ratings, *start, client=client, n_blocks=n_blocks, gather=False, iterations=iterations,
        callback=callback, **options_of(rule),
    )  # fmt: skip
    first, last = counts[1], counts[iterations]
    return {
        "seconds": typical(found.history),
        "moved": round((last - first) / (iterations - 1)),
        "memory": memory,
        "blocks_bytes": most_of_a_worker(ratings, start[0], n_blocks, workers),
    }


def options_of(rule):
    return {"rule": rule, **RULES[rule]}


def typical(history):
    """Median seconds an iteration, but for the first and the one that the counting begins in."""
    return float(f"{np.median(np.diff(history['seconds'])[min(2, len(history) - 2) :]):.4g}")


def most_of_a_worker(ratings, U, n_blocks, workers):
    """Bytes of the blocks, in both orders, and of the rows of U that the worker with most of them holds."""
    edges = blocks.cut(ratings.user_starts, n_blocks)
    starts, size = ratings.user_starts, 4 + ratings.values.itemsize
    held = [0] * workers
    for b, (first, after) in enumerate(pairwise(edges)):
        of_ratings = 2 * size * int(starts[after] - starts[first])
        of_starts = starts.itemsize * (after - first + 1 + ratings.shape[1] + 1)
        held[b * workers // (len(edges) - 1)] += of_ratings + of_starts + U[first:after].nbytes
    return max(held)


if __name__ == "__main__":
    sys.exit(main())
