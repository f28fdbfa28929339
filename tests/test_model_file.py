"""A model in a file: the same bits in a fresh process, safe whatever the file holds, whole or not written."""

import hashlib
import json
import resource
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from mflib import Factorization, Ratings, datasets, model_file, storage

SETTINGS = {"n_factors": 3, "iterations": 4}
LABELS = {
    "indices": None,
    "str": lambda row: f"Zoë {row}\ud800",
    "int": lambda row: 2**60 + row,
    "float": lambda row: row + 0.1,
    "bytes": lambda row: f"{row}\0".encode("utf-16"),
    "tuple": lambda row: (row, ("x", b"\xff")),
    "mixed": lambda row: (row, str(row), float(row) + 0.5)[row % 3],
}


def labelled(kind):
    ratings = datasets.planted(12, 9, 50, n_factors=2, noise=0.1, mean=3.5).ratings
    if (label := LABELS[kind]) is None:
        return Ratings.from_arrays(ratings.users, ratings.items, ratings.values, shape=(13, 11))
    users, items = ([*map(label, rows.tolist())] for rows in (ratings.users, ratings.items))
    return Ratings.from_arrays(users, items, ratings.values)


@pytest.fixture(scope="module")
def model():
    return Factorization(**SETTINGS).fit(labelled("indices"))


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


def ids(labels, n_rows):
    return list(range(n_rows)) if labels is None else labels


@pytest.mark.parametrize("kind", LABELS)
def test_what_is_loaded_is_what_was_saved(kind, tmp_path):
    ratings = labelled(kind)
    model = Factorization(**SETTINGS, biases=kind != "int", dtype="float64").fit(ratings)
    model.save(tmp_path / "mine")
    loaded = Factorization.load(tmp_path / "mine")
    assert loaded.get_params() == model.get_params()
    for name in ("U_", "V_", "user_biases_", "item_biases_", "user_counts_", "item_counts_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    assert loaded.history_.dtype == model.history_.dtype
    assert loaded.history_.tobytes() == model.history_.tobytes()
    for name in ("mean_", "std_", "rating_range_", "stopped_because_", "n_iter_"):
        assert getattr(loaded, name) == getattr(model, name), name
    for name in ("user_labels_", "item_labels_"):
        assert [*map(repr, getattr(loaded, name) or [])] == [*map(repr, getattr(model, name) or [])]
    user, item = ids(model.user_labels_, 12)[0], ids(model.item_labels_, 9)[0]
    assert loaded.predict(user, item) == model.predict(user, item)
    assert loaded.recommend(user) == model.recommend(user)
    assert loaded.similar_items(item) == model.similar_items(item)


FRESH = """
import sys, hashlib
from mflib import Factorization
model = Factorization.load(sys.argv[1])
open(sys.argv[1], "w").close()  # it is in memory
users, items = [u for u in range(12) for _ in range(9)], 12 * [*range(9)]
print(hashlib.sha256(model.predict(users, items).tobytes()).hexdigest())
print(model.recommend([0, 5], 3))
"""


def test_a_fresh_process_predicts_the_same_bits(model, saved):
    done = subprocess.run(
        [sys.executable, "-c", FRESH, saved], capture_output=True, text=True, check=True, cwd=saved.parent
    )
    users, items = [u for u in range(12) for _ in range(9)], 12 * [*range(9)]
    expected = hashlib.sha256(model.predict(users, items).tobytes()).hexdigest()
    assert done.stdout == f"{expected}\n{model.recommend([0, 5], 3)}\n"


def test_settings_of_every_kind_come_back(model, tmp_path):
    settings = {
        "n_factors": np.int64(3),
        "rule": "plain",
        "learning_rate": "exact",
        "reg": np.float32(0.25),
        "rating_range": (-np.inf, 5),
        "dtype": np.float64,
        "iterations": 2,
    }
    Factorization(**settings).fit(labelled("indices")).save(tmp_path / "mine")
    loaded = Factorization.load(tmp_path / "mine")
    expected = settings | {"dtype": "float64"}
    assert {name: getattr(loaded, name) for name in settings} == expected
    assert loaded.rating_range_ == (-np.inf, 5)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("dtype", float, "float64"),
        ("dtype", np.dtype("f4"), "float32"),
        ("rating_range", [np.float32(1), np.int64(5)], (1.0, 5)),
        ("reg", Fraction(1, 2), 0.5),
        ("biases", np.True_, True),
    ],
)
def test_a_setting_that_fit_takes_can_be_saved(name, value, plain, tmp_path):
    Factorization(n_factors=1, iterations=1, **{name: value}).fit(labelled("indices")).save(tmp_path / "mine")
    found = getattr(Factorization.load(tmp_path / "mine"), name)
    assert (found, type(found)) == (plain, type(plain))


def test_a_loaded_model_can_be_saved_and_go_on(model, saved, tmp_path):
    loaded = Factorization.load(saved)
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()
    on = loaded.set_params(warm_start=True).fit(labelled("indices"))
    assert on.history_["loss"][0] == pytest.approx(model.history_["loss"][-1], rel=1e-4)


def test_saving_over_the_file_of_a_loaded_model_changes_nothing_of_it(model, saved):
    loaded = Factorization.load(saved)
    Factorization(n_factors=1, iterations=0).fit(labelled("indices")).save(saved)
    assert loaded.predict(0, 0) == model.predict(0, 0)
    assert loaded.recommend(0) == model.recommend(0)


def test_nothing_is_pickled(saved):
    with np.load(saved, allow_pickle=False) as arrays:
        assert {array.dtype.kind for array in arrays.values()} <= set("iuf")


def test_a_model_that_is_not_fitted_or_whose_labels_no_file_holds_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted yet"):
        Factorization().save(tmp_path / "mine")
    dates = Ratings.from_arrays(np.array(["2020", "2021"], "M8[D]"), [1, 2], [1, 2])
    with pytest.raises(TypeError, match="user_labels holds"):
        Factorization(iterations=1).fit(dates).save(tmp_path / "mine")
    assert not [*tmp_path.iterdir()]


def test_a_disk_that_is_full_leaves_what_stood_there(tmp_path):
    """The limit on the size of files acts as a full disk."""
    path = tmp_path / "mine.npz"
    path.write_text("before")
    big = Factorization(n_factors=100, iterations=0).fit(Ratings.from_arrays([0], [0], [1.0], shape=(500, 1)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"mine\.npz cannot be written: File too large"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("before", [path])


def content(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return json.loads(arrays.pop("about").tobytes()), arrays


TAMPERED = {
    "no factors": (lambda about, arrays: arrays.pop("U"), "KeyError: 'U'"),
    "few factors": (lambda about, arrays: arrays.update(V=arrays["V"][:-1]), "ValueError: cannot reshape"),
    "fewer users": (lambda about, arrays: arrays.update(U=arrays["U"][:-5]), "not one count for each user"),
    "other factors": (
        lambda about, arrays: arrays.update(U=arrays["U"].astype("f8")),
        "the factors are float64",
    ),
    "NaN": (lambda about, arrays: arrays["V"].__setitem__(3, np.nan), "a factor is not finite"),
    "counts below 0": (
        lambda about, arrays: arrays["item_counts"].__setitem__(0, -1),
        "not one count for each item",
    ),
    "few seen": (
        lambda about, arrays: arrays.update(seen_items=arrays["seen_items"][1:]),
        "as many as the rat",
    ),
    "seen outside": (lambda about, arrays: arrays["seen_items"].__setitem__(0, 99), "outside the shape"),
    "few labels": (lambda about, arrays: about.update(user_labels=["a"]), "not one label for each row"),
    "no k": (lambda about, arrays: about.update(n_factors=-1), "ValueError"),
    "a newer format": (lambda about, arrays: about.update(format=2), "its format is 2.*a newer one reads it"),
    "a newer parameter": (lambda about, arrays: about["parameters"].update(magic=1), "'magic'"),
    "something else": (lambda about, arrays: about.update(holds="Forest"), "it holds no model"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_file_with_something_else_in_it_is_refused(saved, kind):
    change, message = TAMPERED[kind]
    about, arrays = content(saved)
    change(about, arrays)
    storage.write(saved, about, arrays)
    with pytest.raises(ValueError, match=rf"model\.npz is no file of Factorization\.save.*{message}"):
        Factorization.load(saved)


def test_another_file_is_refused(tmp_path):
    labelled("str").save(tmp_path / "ratings.npz")
    with pytest.raises(ValueError, match="it holds no model"):
        Factorization.load(tmp_path / "ratings.npz")
    (tmp_path / "text").write_text("userId,movieId")
    with pytest.raises(ValueError, match=r"is no file of Factorization\.save, or is damaged"):
        Factorization.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match=r"give the path of a file that Factorization\.save wrote"):
        Factorization.load(tmp_path / "none")
    Factorization(iterations=0).fit(labelled("str")).save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"is no file of Ratings\.save, or is damaged"):
        Ratings.load(tmp_path / "model.npz")


def test_whatever_byte_is_damaged_the_model_is_the_same_or_refused(model, saved):
    whole = saved.read_bytes()
    expected, refused = model.predict(range(12), 0), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
        if seed % 4 == 0:
            del damaged[rng.integers(len(damaged)) :]
        saved.write_bytes(damaged)
        try:
            loaded = Factorization.load(saved)
        except ValueError as error:
            assert "is no file of Factorization.save, or is damaged" in str(error)  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(loaded.predict(range(12), 0), expected)
    assert refused > 100


def test_a_changed_factor_is_found_by_its_check_sum(model, saved):
    content = bytearray(saved.read_bytes())
    content[content.index(model._U[:-1].tobytes()) + 1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ValueError, match=r"the check sum of U\.npy is wrong"):
        Factorization.load(saved)


def test_a_file_that_is_open_is_written_the_same(model, saved, tmp_path):
    with open(tmp_path / "other", "wb") as file:
        model_file.save_to(file, model)
    assert (tmp_path / "other").read_bytes() == saved.read_bytes()
