"""Who is measured by `models`: each makes ready what it reads, then returns a function that gives the curve
of a setting, point after point.

Each point is a training of its own from the start, with that many steps, unless the contender says otherwise.
Reading and preparing data is not in the seconds. Ids that training has not seen get what the contender knows
of the other id, or the mean.
"""

import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from contenders import LeftOut, cores

from mflib import Factorization, set_num_threads

THREADS = min(2, cores())


def mflib_model(split):
    """`Factorization`, in float32; what compiles is called once before."""
    set_num_threads(THREADS)

    def fit(step, setting):
        return Factorization(iterations=step, seed=0, dtype="float32", **setting).fit(split.train)

    def curve(steps, **setting):
        fit(1, setting)
        for step in steps:
            model, seconds = timed(lambda step=step: fit(step, setting))
            with warnings.catch_warnings(action="ignore"):  # of unknown ids, as everybody has them
                predicted = model.predict(split.test.users, split.test.items, unknown="mean")
            yield {"step": step, **seconds, "rmse": split.rmse(predicted)}

    return curve


def surprise_svd(split):
    """Surprise's SVD, on one thread, as it has no others."""
    return _surprise(split, "SVD")


def surprise_svdpp(split):
    """Surprise's SVD++, on one thread."""
    return _surprise(split, "SVDpp")


def _surprise(split, name):
    try:
        import pandas
        import surprise
    except ImportError as error:
        raise LeftOut(f"Surprise is not installed ({error})") from error
    train, test = split.train, split.test
    # in random order, as its own cross-validation hands them over: it goes through them in the order given
    order = np.random.default_rng(0).permutation(train.n_ratings)
    rows = {"user": train.users[order], "item": train.items[order], "rating": train.values[order]}
    reader = surprise.Reader(rating_scale=(split.low, split.high))
    trainset = surprise.Dataset.load_from_df(pandas.DataFrame(rows), reader).build_full_trainset()
    inner_user, inner_item = np.full(train.shape[0], -1), np.full(train.shape[1], -1)
    for inner, of_id, count in (
        (inner_user, trainset.to_raw_uid, trainset.n_users),
        (inner_item, trainset.to_raw_iid, trainset.n_items),
    ):
        for index in range(count):
            inner[of_id(index)] = index
    user, item = inner_user[test.users], inner_item[test.items]

    def predict(model):
        # as `estimate` of its classes does pair by pair
        of_pairs = model.pu[user] if name == "SVD" else _svdpp_users(model, trainset)[user]
        dots = np.sum(of_pairs * model.qi[item], axis=1)
        return (
            trainset.global_mean
            + np.where(user >= 0, model.bu[user], 0)
            + np.where(item >= 0, model.bi[item], 0)
            + np.where((user >= 0) & (item >= 0), dots, 0)
        )

    def curve(steps, **setting):
        for step in steps:
            model = getattr(surprise, name)(n_epochs=step, random_state=0, **setting)
            model, seconds = timed(lambda model=model: model.fit(trainset))
            yield {"step": step, **seconds, "rmse": split.rmse(predict(model))}

    return curve


def _svdpp_users(model, trainset):
    """User factors of SVD++: p_u + |N(u)|^-½ Σ y_j over the items that u rated."""
    implicit = np.zeros_like(model.pu)
    for user, rated in trainset.ur.items():
        implicit[user] = model.yj[[item for item, _ in rated]].sum(axis=0) / np.sqrt(len(rated))
    return model.pu + implicit


def cmfrec_als(split):
    """CMF of cmfrec, by alternating least squares; what a fit of no iterations takes is not counted."""
    try:
        import cmfrec
    except ImportError as error:
        raise LeftOut(f"cmfrec is not installed ({error})") from error
    from scipy.sparse import coo_matrix

    train, test = split.train, split.test
    rows = coo_matrix((train.values, (train.users, train.items)), shape=train.shape)

    def fit(step, setting):
        # what only quickens later predictions is left out
        model = cmfrec.CMF(niter=step, nthreads=THREADS, precompute_for_predictions=False, **setting)
        return timed(lambda: model.fit(rows))

    def curve(steps, **setting):
        _, preparing = min((fit(0, setting) for _ in range(2)), key=lambda found: found[1]["seconds"])
        for step in steps:
            model, seconds = fit(step, setting)
            seconds = {name: max(0.0, value - preparing[name]) for name, value in seconds.items()}
            yield {"step": step, **seconds, "rmse": split.rmse(_cmfrec_predicted(model, train, test))}

    return curve


def _cmfrec_predicted(model, train, test):
    """What a fitted CMF predicts of the test pairs; without biases its arrays of them are empty."""
    sides = []
    for counts, rows, factors, biases in (
        (train.user_counts, test.users, model.A_, model.user_bias_),
        (train.item_counts, test.items, model.B_, model.item_bias_),
    ):
        biases = biases if len(biases) else np.zeros(len(counts))
        factors[counts == 0] = biases[counts == 0] = 0  # they hold random numbers
        sides.append((factors[rows], biases[rows]))
    (A, user_biases), (B, item_biases) = sides
    return model.glob_mean_ + user_biases + item_biases + np.einsum("rk,rk->r", A, B)


def libmf(split):
    """LIBMF's own `mf-train` and `mf-predict`, from the folder of MF_TRAIN or from PATH.

    The ratings have their mean taken off and put back on unless `centred` is False. Seconds are those between
    the head of the table that it prints and the line of each epoch, in one training of all epochs without
    test ratings; a training of its own for each step then gives the model. With `own_rmse`, which is for data
    that clipping does not change, the test RMSE of all epochs is what it prints itself in a second training.
    """
    train_program, predict_program = mf_programs()
    folder = tempfile.TemporaryDirectory(prefix="mflib-libmf-")
    place = Path(folder.name)
    centre = float(split.train.values.mean(dtype=np.float64))

    @functools.cache
    def file(name, centred):
        path = place / f"{name}-{centred}.txt"
        _write_rows(path, getattr(split, name), centre if centred else 0.0)
        return str(path)

    def train(step, centred, options, *more):
        model = str(place / "model")
        command = [train_program, "-s", str(THREADS), "-t", str(step), *options, *more]
        return _epochs([*command, file("train", centred), model])

    def predict(centred):
        output = place / "predicted"
        command = [predict_program, file("test", centred), str(place / "model"), str(output)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return np.loadtxt(output) + (centre if centred else 0.0)

    def curve(steps, centred=True, own_rmse=False, **setting):
        options = [word for name, value in setting.items() for word in (f"-{name}", str(value))]
        file("train", centred), file("test", centred)
        seconds, _ = train(max(steps), centred, options)
        if own_rmse:
            _, printed = train(max(steps), centred, options, "-p", file("test", centred))
            yield from ({"step": step, **seconds[step], "rmse": printed[step][1]} for step in steps)
            return
        for step in steps:
            train(step, centred, options)
            yield {"step": step, **seconds[step], "rmse": split.rmse(predict(centred))}

    curve.folder = folder  # is there as long as the function
    return curve


def mf_programs():
    """`mf-train` (the variable MF_TRAIN, else from PATH) and the `mf-predict` beside it."""
    train = shutil.which(os.environ.get("MF_TRAIN", "mf-train"))
    if train is None:
        raise LeftOut("no mf-train: put LIBMF's programs on PATH, or set MF_TRAIN to its mf-train")
    predict = shutil.which("mf-predict", path=str(Path(train).resolve().parent)) or shutil.which("mf-predict")
    if predict is None:
        raise LeftOut(f"there is no mf-predict beside {train}, nor on PATH")
    return train, predict


def _write_rows(path, ratings, centre):
    import pyarrow as pa
    from pyarrow import csv

    values = (ratings.values.astype(np.float64) - centre).astype(np.float32)
    table = pa.table({"user": ratings.users, "item": ratings.items, "value": values})
    csv.write_csv(table, path, csv.WriteOptions(include_header=False, delimiter=" "))


def _epochs(command):
    """Run mf-train: of each epoch, seconds since the head of its table and the numbers in its line.

    It writes to a terminal of its own, because only then does each line come when it is printed.
    """
    ours, its = os.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.STDOUT)
    os.close(its)
    seconds, printed, said, begin, cpu = {}, {}, [], None, None
    try:
        with open(ours, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                now, used = time.perf_counter(), _cpu_seconds_of(process.pid)
                if begin is None and line.split()[:1] == ["iter"]:
                    begin, cpu = now, used
                elif begin is not None and re.match(r"\s*\d+\s", line):
                    epoch, *numbers = line.split()
                    seconds[int(epoch) + 1] = {"seconds": now - begin, "cpu_seconds": used - cpu}
                    printed[int(epoch) + 1] = [float(number) for number in numbers]
                else:
                    said.append(line.strip())
    except OSError:  # Linux says so when the other side of a terminal is closed
        pass
    if process.wait() != 0 or not seconds:
        raise RuntimeError(f"mf-train failed ({process.returncode}): {' '.join(said)[:200]}")
    return seconds, printed


def _cpu_seconds_of(pid):
    """CPU seconds of all threads of a process that runs; NaN where the system does not say."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid of Linux
    except (AttributeError, OSError):
        return float("nan")


def timed(call):
    """What a call returns, and its wall and CPU seconds, those of all its threads."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = call()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return found, {"seconds": seconds, "cpu_seconds": cpu}


CONTENDERS = {
    "mflib": mflib_model,
    "Surprise SVD": surprise_svd,
    "cmfrec": cmfrec_als,
    "LIBMF": libmf,
    "Surprise SVD++": surprise_svdpp,
}
