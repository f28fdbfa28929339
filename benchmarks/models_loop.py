"""The lecture's own loop, with momentum: mflib's `descend` against the same loop in NumPy and SciPy."""

import statistics
import time

import contenders
import lecture_loop
import numpy as np

from mflib import descend, random_factors, set_num_threads

ITERATIONS, FACTORS, MOMENTUM = 2000, 50, 0.9
# Turns of each side, and the iterations of the slow side that are timed.
TURNS, TIMED = 3, 300


def measure():
    """Seconds of 2,000 iterations of both sides in float32 and float64, and the ratio of the float64 ones."""
    from models_contenders import THREADS

    set_num_threads(THREADS)
    ratings, source = lecture_loop.load()
    found = {"data": source, "iterations": ITERATIONS, "k": FACTORS}
    for dtype in ("float64", "float32"):
        train, _, _ = ratings.astype(dtype).split(0.2, seed=0)
        U, V = random_factors(train.shape, FACTORS, scale=0.02, mean=float(train.values.mean()), dtype=dtype)
        sides = {"mflib": by_mflib, "NumPy + SciPy": by_numpy}
        losses = {name: side(train, U, V, 20)[1] for name, side in sides.items()}
        if not np.isclose(*losses.values(), rtol=1e-4):
            raise RuntimeError(f"the two loops differ after 20 iterations: {losses}")
        seconds = {name: [] for name in sides}
        for _ in range(TURNS):
            seconds["mflib"].append(by_mflib(train, U, V, ITERATIONS)[0])
            seconds["NumPy + SciPy"].append(by_numpy(train, U, V, TIMED)[0] * ITERATIONS / TIMED)
        found[dtype] = {name: statistics.median(times) for name, times in seconds.items()}
        found[dtype]["speed_up"] = found[dtype]["NumPy + SciPy"] / found[dtype]["mflib"]
    return {**found, "speed_up": found["float64"]["speed_up"]}


def by_mflib(train, U, V, iterations):
    """Seconds, and the loss before the last update."""
    begin = time.perf_counter()
    result = descend(
        *(train, U, V, "momentum"),
        learning_rate=lecture_loop.LEARNING_RATE,
        momentum=MOMENTUM,
        iterations=iterations,
    )
    return time.perf_counter() - begin, result.history["loss"][-2]


def by_numpy(train, U, V, iterations):
    """The same loop as it is written in NumPy, on the residuals and products of `contenders.numpy_scipy`."""
    U, V = U.copy(), V.copy()
    evaluate = contenders.numpy_scipy(train, U, V)
    step_U, step_V = np.zeros_like(U), np.zeros_like(V)
    begin = time.perf_counter()
    for _ in range(iterations):
        loss, grad_U, grad_V = evaluate()
        step_U = MOMENTUM * step_U - lecture_loop.LEARNING_RATE * grad_U
        step_V = MOMENTUM * step_V - lecture_loop.LEARNING_RATE * grad_V
        U += step_U
        V += step_V
    return time.perf_counter() - begin, loss
