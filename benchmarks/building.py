"""Building and reading `Ratings` of 25 million ratings: time against SciPy, bytes kept, peaks of memory.

    sorting   rows to Ratings, against SciPy's coo_matrix(...).tocsr() plus .tocsc(): at most the same time
    kept      bytes of Ratings for each float32 rating: at most 20
    memory    the peak while rows in memory, and a CSV file, become Ratings: at most 3 times what is kept
    load      seconds until a saved file is open

The rows are planted, in random order, float32 values, 162,541 users and 59,047 items as in MovieLens 25M.
Sides of a comparison take turns, so that a slow minute hits both alike; medians count, and the spread stands
beside them. Each peak is that of a process of its own (VmHWM), less what the process held before: "beside
the rows" counts what building adds, "with the rows" also the columns it was given. The CSV file is read to
float32 with times, which are kept and count.

    python benchmarks/building.py [--ratings 25e6] [--rounds 5] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "building.json"
USERS, ITEMS = 162_541, 59_047
COLUMNS = ("users", "items", "values")


def plant(folder, n_ratings):
    """The rows in random order, as three columns and as a CSV file."""
    import pyarrow as pa
    from pyarrow import csv

    from mflib import datasets

    ratings, *_ = datasets.planted(USERS, ITEMS, n_ratings, n_factors=4, noise=0.5, mean=3.5)
    order = np.random.default_rng(0).permutation(n_ratings)
    rows = ratings.users[order], ratings.items[order], ratings.values[order].astype(np.float32)
    for name, column in zip(COLUMNS, rows, strict=True):
        np.save(folder / f"{name}.npy", column)
    stars = np.clip(np.round(2 * rows[2]), 1, 10) / 2
    times = np.random.default_rng(1).integers(789_652_009, 1_574_327_703, n_ratings)
    table = pa.table({"userId": rows[0] + 1, "movieId": rows[1] + 1, "rating": stars, "timestamp": times})
    csv.write_csv(table, folder / "ratings.csv")


def columns(folder, kind):
    """The rows, with indices of this kind."""
    users, items, values = (np.load(folder / f"{name}.npy") for name in COLUMNS)
    return users.astype(kind, copy=False), items.astype(kind, copy=False), values


def sorting(folder, rounds):
    """Rows to both orders, by turns: seconds of each side, with int32 and int64 indices."""
    from scipy.sparse import coo_matrix

    from mflib import Ratings

    def by_scipy(users, items, values):
        coo = coo_matrix((values, (users, items)), shape=(USERS, ITEMS))
        return coo.tocsr(), coo.tocsc()

    def by_mflib(users, items, values):
        return Ratings.from_arrays(users, items, values, shape=(USERS, ITEMS))

    found = {}
    for kind in ("int32", "int64"):
        rows = columns(folder, kind)
        sides = {"mflib": by_mflib, "scipy": by_scipy}
        seconds = {name: [] for name in sides}
        for _ in range(rounds + 1):
            for name, side in sides.items():
                begin = time.perf_counter()
                side(*rows)
                seconds[name].append(time.perf_counter() - begin)
        found[kind] = {name: of[1:] for name, of in seconds.items()}  # the first loads and makes caches
    return found


def building(folder, kind):
    """One construction: what is kept, and the peak of memory."""
    from mflib import Ratings

    Ratings.from_arrays([0], [0], np.ones(1, np.float32), shape=(1, 1))  # loads what is needed
    before = held()
    rows = columns(folder, kind)
    with_rows = held()
    reset_peak()
    ratings = Ratings.from_arrays(*rows, shape=(USERS, ITEMS))
    peak = held("VmHWM")
    return {
        "kept": ratings.nbytes,
        "kept_a_rating": ratings.nbytes / ratings.n_ratings,
        "peak_beside_the_rows": peak - with_rows,
        "peak_with_the_rows": peak - before,
    }


def reading(folder):
    """One reading of the CSV file: seconds, what is kept, and the peak of memory; then a file that opens."""
    from mflib import Ratings

    small = folder / "small.csv"
    small.write_text("userId,movieId,rating,timestamp\n1,1,1,1\n")
    Ratings.from_csv(small, dtype="float32")  # loads what is needed
    before = held()
    reset_peak()
    begin = time.perf_counter()
    ratings = Ratings.from_csv(folder / "ratings.csv", dtype="float32")
    seconds = time.perf_counter() - begin
    peak = held("VmHWM")
    begin = time.perf_counter()
    ratings.save(folder / "ratings.npz")
    saved = time.perf_counter() - begin
    kept = ratings.nbytes
    return {"seconds": seconds, "save_seconds": saved, "kept": kept, "peak": peak - before}


def loading(folder, verify):
    """Seconds until a saved file is open."""
    from mflib import Ratings

    begin = time.perf_counter()
    Ratings.load(folder / "ratings.npz", verify=verify == "verify")
    return {"seconds": time.perf_counter() - begin}


def held(field="VmRSS"):
    """Bytes of memory this process holds (VmRSS), or held at most (VmHWM)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[field].split()[0])


def reset_peak():
    """Let the peak begin anew at what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def alone(step, folder, *arguments):
    """What a step finds in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), *map(str, arguments)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def measure(folder, n_ratings, rounds):
    """All of it, printed as it comes."""
    print(f"planting {n_ratings:,} rows", flush=True)
    plant(folder, n_ratings)
    found = {"n_ratings": n_ratings, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    found["sorting"] = alone("sorting", folder, rounds)
    for kind, sides in found["sorting"].items():
        medians = {name: statistics.median(seconds) for name, seconds in sides.items()}
        ratio = medians["mflib"] / medians["scipy"]
        spread = ", ".join(
            f"{name} {medians[name]:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
            for name, seconds in sides.items()
        )
        print(f"sorting, {kind}: {spread}; ratio {ratio:.2f}, limit 1: {met(ratio, 1)}", flush=True)
    for kind in ("int32", "int64"):
        found[f"building {kind}"] = one = alone("building", folder, kind)
        kept = one["kept_a_rating"]
        print(f"kept, {kind}: {kept:.2f} bytes a rating, limit 20: {met(kept, 20)}", flush=True)
        for peak in ("peak_beside_the_rows", "peak_with_the_rows"):
            report(f"memory, {kind}, {peak.replace('_', ' ')}", one[peak], one["kept"])
    found["reading"] = one = alone("reading", folder)
    report(f"memory, CSV in {one['seconds']:.1f} s, peak", one["peak"], one["kept"])
    print(f"save: {one['save_seconds']:.2f} s", flush=True)
    for how in ("plain", "verify"):
        seconds = [alone("loading", folder, how)["seconds"] for _ in range(rounds)]
        found[f"loading {how}"] = seconds
        print(f"load, {how}: {statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})")
    return found


def report(what, peak, kept):
    """One line on a peak of memory."""
    times = peak / kept
    print(f"{what}: {peak / 1e6:.0f} MB, {times:.2f} of what is kept, limit 3: {met(times, 3)}", flush=True)


def met(value, limit):
    """Whether a limit is met, in words."""
    return "met" if value <= limit else "not met"


def main():
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", type=float, default=25e6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--json", metavar="FILE", type=Path, default=RESULT, help="write the measurements there"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)  # one step, in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        arguments = [int(one) if one.isdecimal() else one for one in options.arguments]
        steps = {"sorting": sorting, "building": building, "reading": reading, "loading": loading}
        print(json.dumps(steps[options.step](options.folder, *arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="mflib-") as folder:
        found = measure(Path(folder), int(options.ratings), options.rounds)
    options.json.parent.mkdir(exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
