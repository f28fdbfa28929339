"""Whatever the constructors are given, they refuse it or make Ratings that no kernel can be led astray by."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import validity

from mflib import Ratings

KINDS = ["i1", "u1", "i2", "i4", "u4", "i8", "u8", ">i4", ">u2", "f8", "?", "O", "U3", "M8[s]"]
EDGES = [-1, -(2**31), -(2**63), 2**31, 2**32, 2**63 - 1, 2**64 - 1]


def column(rng, length, n_rows):
    """Indices or labels: mostly within range, at times of another kind, strided, read-only or a list."""
    array = rng.integers(n_rows, size=length)
    match rng.integers(8):
        case 0:
            with np.errstate(invalid="ignore"):
                array = array.astype(rng.choice(KINDS))
        case 1:
            edge = np.array([EDGES[rng.integers(len(EDGES))]])
            array = np.where(rng.random(length) < 0.2, edge, array.astype(edge.dtype))
        case 2:
            array = np.repeat(array, 2)[::2]
        case 3:
            array = array[::-1]
        case 4:
            return array.tolist()
        case 5:
            return pd.Series(
                array, index=rng.permutation(length), dtype=rng.choice(["Int64", "int16", "object"])
            )
        case 6:
            array = np.ma.array(array, mask=rng.random(length) < 0.1)
    array.flags.writeable = rng.random() < 0.5
    return array


def values(rng, length):
    array = rng.normal(size=length)
    if rng.random() < 0.2:
        array[rng.integers(length)] = rng.choice([np.nan, np.inf, 1e300])
    return array.astype(rng.choice(["f4", "f8", "f8", ">f4", "f2", "i8"]))


def made(rng):
    """Ratings from one of the constructors, of what may be none."""
    n, m = rng.integers(1, 9, size=2).tolist()
    length = int(rng.integers(1, 12))
    users, items, y = column(rng, length, n), column(rng, length, m), values(rng, length)
    times = rng.choice([None, 1]) and rng.integers(9, size=length).astype(rng.choice(["i2", "f2", "i8", "g"]))
    dtype = rng.choice([None, "float32", "float64"])
    match rng.integers(6):
        case 0:
            shape = (n, m) if rng.random() < 0.8 else tuple(rng.integers(-1, 9, size=2).tolist())
            return Ratings.from_arrays(users, items, y, times=times, shape=shape, dtype=dtype)
        case 1:
            length += rng.random() < 0.1
            return Ratings.from_arrays(users, items, y[:length], times=times, dtype=dtype)
        case 2:
            R = rng.choice([0, 1] if rng.random() < 0.9 else [0, 1, 2], size=(n, m))
            return Ratings.from_dense(rng.normal(size=(n, m)), R, dtype=dtype)
        case 3:
            frame = pd.DataFrame({"userId": list(users), "movieId": list(items), "rating": y})
            return Ratings.from_frame(frame, dtype=dtype)
        case 4:
            A = scipy.sparse.random_array(
                (n, m), density=0.5, rng=rng, format=rng.choice(["csr", "csc", "coo"])
            )
            if A.nnz and rng.random() < 0.4:  # SciPy does not look at what is changed afterwards
                indices = A.coords[rng.integers(2)] if A.format == "coo" else A.indices
                indices[rng.integers(A.nnz)] = rng.choice([-1, 9, 2**31 - 1, 0])
            return Ratings.from_scipy(A, dtype=dtype)
        case _:
            small = made(rng)
            return Ratings.from_arrays(small.users, small.items, small.values, shape=small.shape)


def changed(rng, ratings, path):
    """The same ratings, or a part of them, made in another way."""
    match rng.integers(7):
        case 0:
            return ratings.subset(rng.random(ratings.n_ratings) < 0.7)
        case 1:
            return ratings.subset(rng.integers(-1, ratings.n_ratings + 1, size=rng.integers(1, 4)))
        case 2:
            return ratings.split(rng.random(), seed=int(rng.integers(9)))[rng.integers(2)]
        case 3:
            return ratings.astype(rng.choice(["float32", "float64"]))
        case 4:
            return copy.deepcopy(ratings)
        case 5:
            return pickle.loads(pickle.dumps(ratings))
        case _:
            ratings.save(path)
            return Ratings.load(path, verify=True)


# overflow to infinity, and NaN to whole numbers, are refused with an error of their own
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_what_the_constructors_make_is_valid_whatever_they_are_given(tmp_path):
    outcomes = {"made": 0, "refused": 0}
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        try:
            ratings = made(rng)
            validity.check(ratings)
            for _ in range(3):
                ratings = changed(rng, ratings, tmp_path / "ratings")
                validity.check(ratings)
        except (TypeError, ValueError):
            outcomes["refused"] += 1
        else:
            outcomes["made"] += 1
    assert min(outcomes.values()) > 200, outcomes


def test_files_of_numbers_in_any_order_make_valid_ratings(tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(20):
        cells = np.random.default_rng(seed).permutation(200)[: seed * 9 + 1]
        users, items = [(-1) ** cells * cells // 20, [f"{cell % 20:03}" for cell in cells]]
        lines = [
            f"{u},{i},{y}" for u, i, y in zip(users, items, rng.integers(9, size=len(cells)), strict=True)
        ]
        (tmp_path / "mine.csv").write_text("\n".join(["userId,movieId,rating", *lines]))
        ratings = Ratings.from_csv(tmp_path / "mine.csv")
        validity.check(ratings)
        assert ratings.n_ratings == len(cells)


def test_nothing_can_be_set_and_no_array_be_written():
    ratings = Ratings.from_arrays([0, 1], [0, 1], [1, 2], times=[3, 4], shape=(2, 2))
    for name in ("items", "values", "shape", "user_starts", "users_by_item", "users", "anything"):
        with pytest.raises(AttributeError, match=f"Ratings never change, so {name} cannot be set"):
            setattr(ratings, name, np.array([9, 9]))
    with pytest.raises(AttributeError, match="Ratings never change"):
        del ratings.items
    for other in (ratings, copy.deepcopy(ratings), pickle.loads(pickle.dumps(ratings))):
        for name in ("items", "values", "times", "users", "users_by_item", "by_item", "item_starts"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(other, name)[0] = 9
        for name in ("items", "values", "users_by_item", "item_starts"):
            with pytest.raises(ValueError, match="cannot set WRITEABLE flag to True"):
                getattr(other, name).flags.writeable = True
            assert getattr(other, name).base.base.readonly, name  # nor what it is a view of


def test_they_are_made_by_what_checks_alone():
    with pytest.raises(TypeError, match="Ratings are made by their constructors: from_arrays, from_dense"):
        Ratings([0], [0], [1.0])
