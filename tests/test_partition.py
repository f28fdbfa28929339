"""Ratings that are in no one place, on real schedulers and workers: the same bits whoever did what."""

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

pytest.importorskip("distributed")

import clusters
import dask
import dask.dataframe as dd
from clusters import scale
from pyarrow import parquet as pq

from mflib import Ratings, blocks, cluster, datasets, descend, labels, metrics, waiting

N_BLOCKS = 4


@pytest.fixture(scope="module")
def local():
    """A scheduler and two workers."""
    with clusters.local(n_workers=2) as client:
        yield client


def table():
    """Users are whole numbers, items text; in any order."""
    ratings = datasets.planted(60, 40, 1000, n_factors=2, noise=0.5, skew=1.0, seed=1).ratings
    columns = {
        "userId": 7 * ratings.users.astype(np.int64) - 100,
        "movieId": [f"film ü{j}" for j in ratings.items],
        "rating": ratings.values,
    }
    return pd.DataFrame(columns).sample(frac=1, random_state=0, ignore_index=True)


def frame(of, npartitions=5):
    return dd.from_pandas(of, npartitions=npartitions, sort=False)


@pytest.fixture(scope="module")
def held_out():
    """Rows of validation: every fifth whose user and item have other rows."""
    rows = table()
    mine = rows.index % 5 == 0
    known = rows["userId"].isin(rows["userId"][~mine]) & rows["movieId"].isin(rows["movieId"][~mine])
    return mine & known


@pytest.fixture(scope="module")
def train(local, held_out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("partition") / "train"
    return cluster.partition(frame(table()[~held_out]), folder, client=local, n_blocks=N_BLOCKS)


@pytest.fixture(scope="module")
def validation(local, held_out, train):
    folder = f"{train.folder}-validation"
    return cluster.partition(frame(table()[held_out], 3), folder, client=local, like=train)


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def triples(ratings):
    """Labels and values of all ratings, sorted."""
    users, items = ratings.user_labels, ratings.item_labels
    places = zip(ratings.users, ratings.items, ratings.values.tolist(), strict=True)
    return sorted((users[u], items[j], y) for u, j, y in places)


def test_blocks_hold_the_ratings_of_all_parts_each_user_in_one(train, held_out):
    rows = table()[~held_out]
    assert triples(train.gather()) == triples(Ratings.from_frame(rows))
    assert train.item_labels == sorted(set(rows["movieId"]))
    np.testing.assert_array_equal(train.item_counts, rows["movieId"].value_counts().sort_index())
    users = train.user_labels
    assert sorted(users) == sorted(set(rows["userId"]))
    for first, after in zip(train.edges[:-1], train.edges[1:], strict=True):
        assert users[first:after] == sorted(users[first:after])
        assert first < after
    assert (train.n_blocks, train.n_ratings) == (N_BLOCKS, len(rows))
    np.testing.assert_allclose(train.mean, rows["rating"].mean())
    np.testing.assert_allclose(train.mean_square, np.mean(rows["rating"] ** 2))


def test_only_blocks_are_left_and_open_again(train):
    kinds = {f"{kind}-{b:05d}.npz" for kind in ("block", "users") for b in range(N_BLOCKS)}
    assert set(files(train.folder)) == kinds | {"items.npz", "manifest.json"}
    opened = cluster.open_blocks(train.folder)
    assert (opened.digest, opened.shape, opened.edges) == (train.digest, train.shape, train.edges)


def test_the_bits_depend_on_the_ratings_alone(local, train, held_out, tmp_path):
    """Not on parts, their format, the order of rows, or the number of workers."""
    rows = table()[~held_out]
    (tmp_path / "parts").mkdir()
    for p, part in enumerate(np.array_split(np.arange(len(rows)), 3)):
        rows.iloc[part[::-1]].to_parquet(tmp_path / "parts" / f"{p}.parquet")
        rows.iloc[part].to_csv(tmp_path / f"{p}.csv", index=False)
    rows[:0].to_parquet(tmp_path / "parts" / "none.parquet")
    categories = rows.astype({"movieId": "category", "userId": "int32"})[::-1]
    sources = {
        "folder of Parquet": tmp_path / "parts",
        "pattern of CSV": str(tmp_path / "?.csv"),
        "both": [*sorted((tmp_path / "parts").glob("[01]*")), tmp_path / "2.csv"],
        "Dask reading Parquet": dd.read_parquet(tmp_path / "parts"),
        "other kinds": frame(categories, 30),
    }
    for name, source in sources.items():
        found = cluster.partition(source, tmp_path / name, client=local, n_blocks=N_BLOCKS)
        assert files(found.folder) == files(train.folder), name
    scale(local, 1)
    found = cluster.partition(frame(rows, 1), tmp_path / "one", client=local, n_blocks=N_BLOCKS)
    assert files(found.folder) == files(train.folder)
    scale(local, 2)


def killed_at(client, folder, n_files):
    """A thread that kills a worker when a partition has written so many files; whom, and how to end it."""
    killed, done = [], threading.Event()

    def watch():
        while not done.is_set() and len(list(folder.parent.glob(f".{folder.name}.*/*.npz"))) < n_files:
            time.sleep(0.005)
        if not done.is_set():
            killed.append(min(pids))
            os.kill(killed[0], signal.SIGKILL)

    pids = client.run(os.getpid).values()
    thread = threading.Thread(target=watch)
    thread.start()
    return killed, lambda: (done.set(), thread.join())


@pytest.mark.parametrize(
    "n_files", [8, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 24, 27, 40, 52, 55))]
)
def test_a_worker_killed_during_a_partition_changes_no_bit(local, train, held_out, tmp_path, n_files):
    scale(local, 2)
    wait = lambda rows: (time.sleep(0.05), rows)[1]  # noqa: E731
    source = frame(table()[~held_out], 24).map_partitions(wait, meta=table()[:0])
    killed, end = killed_at(local, tmp_path / "killed", n_files)
    found = cluster.partition(source, tmp_path / "killed", client=local, n_blocks=N_BLOCKS)
    end()
    assert killed
    assert files(found.folder) == files(train.folder)
    assert os.listdir(tmp_path) == ["killed"]


def options(rule, **more):
    return {"rule": rule, "iterations": 5, "reg": 0.05, "reg_weighting": "count", "biases": True, **more}


def same_cut(monkeypatch, ratings):
    monkeypatch.setattr(blocks, "cut", lambda *_: ratings.edges)


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.U, other.U)
    np.testing.assert_array_equal(one.V, other.V)
    for field in ("iteration", "loss", "objective", "validation_rmse"):
        np.testing.assert_array_equal(one.history[field], other.history[field])


RULES = [
    {"rule": "conjugate"},
    {"rule": "alternating"},
    {"rule": "plain", "learning_rate": 1.0, "scaling": "count"},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["rule"])
def test_a_descent_has_the_bits_of_one_on_the_same_blocks_sent_from_here(
    local, train, validation, monkeypatch, rule
):
    U, V = cluster.random_factors(train, 4, seed=3, scale=0.3, biases=True, client=local)
    found = cluster.descend(train, U, V, client=local, validation=validation, **options(**rule))
    here = train.gather(), U.gather(), V
    there = validation.gather()
    same_cut(monkeypatch, train)
    expected = cluster.descend(*here, client=local, validation=there, **options(**rule))
    assert_same_bits(found, expected)
    assert_same_bits(
        cluster.descend(train, U.gather(), V, client=local, validation=validation, **options(**rule)), found
    )
    alone = descend(*here, validation=there, **options(**rule))
    np.testing.assert_allclose(found.U, alone.U, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.history["validation_rmse"], alone.history["validation_rmse"], rtol=1e-10)
    assert found.history["loss"][-1] < found.history["loss"][0]


@pytest.mark.parametrize("how_many", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_workers_killed_in_mid_descent_change_no_bit_and_their_blocks_are_read_again(
    local, train, validation, how_many
):
    scale(local, 2)
    U, V = cluster.random_factors(train, 4, scale=0.3, biases=True, client=local)
    plain = options("momentum", learning_rate=5.0, validation=validation)
    expected = cluster.descend(train, U, V, client=local, **plain)
    killed = []

    def kill(row, U, V):
        if row["iteration"] == 3 and not killed:
            killed.extend(sorted(local.run(os.getpid).values())[:how_many])
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    assert_same_bits(cluster.descend(train, U, V, client=local, callback=kill, **plain), expected)
    assert len(killed) == how_many


def test_a_checkpoint_goes_on_with_the_same_bits(local, train, tmp_path):
    U, V = cluster.random_factors(train, 4, scale=0.3, biases=True, client=local)
    kept = {"client": local, "checkpoint": tmp_path / "descent.npz", "checkpoint_every": 2}
    cluster.descend(train, U, V, **kept, **options("conjugate", iterations=3))
    found = cluster.descend(train, U, V, **kept, **options("conjugate"))
    assert_same_bits(found, cluster.descend(train, U, V, client=local, **options("conjugate")))


@pytest.mark.parametrize(
    ("lost", "expected", "told"),
    [
        (CancelledError("combine-1"), ConnectionError, "begin from cluster.random_factors, or from an array"),
        (waiting.Paused(["tcp://127.0.0.1:1"]), MemoryError, r"127\.0\.0\.1:1 is paused .* more blocks"),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_a_start_whose_blocks_cannot_be_had_says_what_to_do(
    local, train, tmp_path, monkeypatch, lost, expected, told, after
):
    """When it is looked at, and when it is fetched, as a checkpoint needs it."""
    start, original, calls = cluster.random_factors(train, 3, client=local), waiting.gathered, []

    def gathered(*arguments):
        calls.append(arguments)
        if len(calls) > after:
            raise lost
        return original(*arguments)

    monkeypatch.setattr(waiting, "gathered", gathered)
    with pytest.raises(expected, match=told):
        cluster.descend(train, *start, client=local, checkpoint=tmp_path / "descent.npz")


def test_random_factors_depend_on_the_blocks_and_not_on_the_workers(local, train):
    scale(local, 2)
    U, V = cluster.random_factors(
        train, 3, seed=5, scale=0.1, mean=4.0, biases=True, dtype="float32", client=local
    )
    assert (U.shape, V.shape, U.dtype, V.dtype) == (
        (train.shape[0], 5),
        (train.shape[1], 5),
        "float32",
        "float32",
    )
    scale(local, 1)
    again = cluster.random_factors(
        train, 3, seed=5, scale=0.1, mean=4.0, biases=True, dtype="float32", client=local
    )
    scale(local, 2)
    np.testing.assert_array_equal(U.gather(), again[0].gather())
    np.testing.assert_array_equal(V, again[1])
    array = U.gather()
    assert len(np.unique(array[:, 0])) == len(array)  # no block as another
    np.testing.assert_array_equal(array[:, 3:], np.tile([0, 1], (len(array), 1)))
    np.testing.assert_allclose(np.mean(array[:, :3] @ V[:, :3].T), 4, atol=0.1)
    other = cluster.random_factors(train, 3, seed=6, client=local)[0].gather()
    assert not np.any(other == array[:, :3])


def test_errors_and_predictions_are_those_of_one_machine(local, train, validation, tmp_path):
    result = cluster.descend(
        train, *cluster.random_factors(train, 3, client=local), client=local, gather=False, iterations=3
    )
    U, V = result.U.gather(), result.V
    for ratings in (train, validation):
        here = ratings.gather()
        predicted = np.einsum("ij,ij->i", U[here.users], V[here.items])
        found = cluster.evaluate(ratings, result.U, V, client=local)
        assert found == cluster.evaluate(ratings, U, V, client=local)
        assert found["n_ratings"] == here.n_ratings
        np.testing.assert_allclose(found["rmse"], metrics.rmse(here.values, predicted))
        np.testing.assert_allclose(found["mae"], metrics.mae(here.values, predicted))

        folder = tmp_path / Path(ratings.folder).name
        written = cluster.predict(ratings, result.U, V, folder, client=local)
        assert sorted(written) == sorted(str(path) for path in folder.iterdir())
        rows = dd.read_parquet(folder).compute()
        assert list(rows.columns) == ["user", "item", "prediction"]
        expected = [(u, j) for u, j, _ in triples(here)]
        assert sorted(zip(rows["user"], rows["item"], strict=True)) == expected
        place = (
            {label: i for i, label in enumerate(here.user_labels)},
            {label: j for j, label in enumerate(here.item_labels)},
        )
        users, items = (
            rows[name].map(of).to_numpy() for name, of in zip(("user", "item"), place, strict=True)
        )
        np.testing.assert_allclose(rows["prediction"], np.einsum("ij,ij->i", U[users], V[items]))


def test_validation_of_unknown_users_and_items_is_counted_or_left_out(local, train, held_out, tmp_path):
    rows = table()[held_out]
    more = pd.DataFrame(
        {"userId": [12345, -100, 12345], "movieId": ["film ü1", "nobody's", "new"], "rating": 1.0}
    )
    # -100 is a user of the training ratings
    source = frame(pd.concat([rows, more], ignore_index=True))
    with pytest.raises(
        ValueError, match=r"3 ratings are of users or items that like= does not have, such as "
    ) as told:
        cluster.partition(source, tmp_path / "error", client=local, like=train)
    assert "user 12345 (part 4 of the frame)" in str(told.value)
    assert "item nobody's (part 4 of the frame)" in str(told.value)
    found = cluster.partition(source, tmp_path / "drop", client=local, like=train, unknown="drop")
    assert triples(found.gather()) == triples(Ratings.from_frame(rows))
    assert found.user_labels == train.user_labels
    with pytest.raises(ValueError, match="no rating is left"):
        cluster.partition(frame(more[:1], 1), tmp_path / "all", client=local, like=train, unknown="drop")
    assert os.listdir(tmp_path) == ["drop"]


def test_validation_that_is_not_like_the_training_ratings_is_refused(local, train, held_out, tmp_path):
    other = cluster.partition(frame(table()[held_out]), tmp_path / "other", client=local, n_blocks=2)
    U, V = cluster.random_factors(train, 2, client=local)
    with pytest.raises(ValueError, match=r"make it with cluster.partition\(..., like=ratings\)"):
        cluster.descend(train, U, V, client=local, validation=other)
    with pytest.raises(ValueError, match="U is in blocks of other users"):
        cluster.evaluate(other, U, V, client=local)
    with pytest.raises(ValueError, match="leave n_blocks out"):
        cluster.descend(train, U, V, client=local, n_blocks=3)
    with pytest.raises(ValueError, match=r"U must have one row for each of the \d+ users"):
        cluster.descend(train, U.gather()[1:], V, client=local)
    bad = U.gather()
    bad[[0, -1], 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="U must be finite to start from, got 2 other entries"):
        cluster.descend(train, bad, V, client=local)
    with pytest.raises(ValueError, match="with biases the last column of U"):
        cluster.descend(train, U, V, client=local, biases=True)


def rows_with(**cells):
    """The table, with one cell changed."""
    rows = table()
    for name, (row, value) in cells.items():
        rows[name] = rows[name].astype(object) if isinstance(value, str | None) else rows[name]
        rows.loc[row, name] = value
    return rows


WRONG = {
    "NaN": (rows_with(rating=(250, np.nan)), r"part 1 of the frame, row 50: the rating is nan"),
    "infinite": (rows_with(rating=(999, np.inf)), r"part 4 of the frame, row 199: the rating is inf"),
    "no user": (rows_with(userId=(3, None)), r"part 0 of the frame, row 3: the user is missing"),
    "mixed kinds": (rows_with(userId=(3, "x")), "part 0 of the frame, .*neither all whole numbers nor all"),
    "floats": (table().astype({"userId": float}), r"the users are double, expected whole numbers or text"),
    "twice": (
        pd.concat([table(), table()[:1]], ignore_index=True),
        rf"user {table()['userId'][0]} has rated item {table()['movieId'][0]} in part 0 of the frame and in "
        "part 4 of the frame: keep one",
    ),
    "no column": (table().rename(columns={"rating": "ratings"}), r"rating='rating' is no column.*'ratings'"),
    "empty": (table()[:0], "there is no rating at all"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG)
def test_a_bad_part_is_named_with_its_row(local, tmp_path, fault):
    rows, message = WRONG[fault]
    with (
        dask.config.set({"dataframe.convert-string": False}),
        pytest.raises((ValueError, TypeError), match=message),
    ):
        cluster.partition(frame(rows), tmp_path / "bad", client=local, n_blocks=2)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def parquet(tmp_path):
    (tmp_path / "parts").mkdir()
    paths = [tmp_path / "parts" / f"{p}.parquet" for p in range(3)]
    for p, path in enumerate(paths):
        table()[p::3].to_parquet(path, index=False, write_page_checksum=True)
    return paths


def test_a_bad_file_is_named(local, parquet, tmp_path):
    def refused(message, source=parquet):
        with pytest.raises((ValueError, OSError), match=message):
            cluster.partition(source, tmp_path / "blocks", client=local, n_blocks=2)
        assert os.listdir(tmp_path) == ["parts"]

    by_dask = dd.read_parquet(tmp_path / "parts")
    bad = parquet[1]
    good = bad.read_bytes()
    os.truncate(bad, len(good) // 2)
    refused(rf"{bad} is no Parquet file, or is cut short")
    refused(rf"part 1 of the frame cannot be read .*: {bad}$", by_dask)
    bad.write_bytes(good[: len(good) // 3] + bytes(64) + good[len(good) // 3 + 64 :])
    refused(rf"{bad} is no Parquet file, or is cut short or damaged .*(CRC|checksum)")
    bad.unlink()
    refused(rf"{bad} does not exist")
    refused(rf"{bad}", by_dask)
    refused("no file is named as the pattern", tmp_path / "*.pq")
    refused("names no file at all", [])
    rows = table()[1::3].reset_index(drop=True)
    rows.rename(columns={"movieId": "movieid"}).to_parquet(bad)
    refused(rf"item='movieId' is no column of {bad}: did you mean 'movieid'")
    rows.assign(rating=rows["rating"].mask(rows.index == 7)).to_parquet(bad)
    refused(rf"{bad}, row 7: the rating is nan")
    rows.astype({"userId": str}).to_parquet(bad)
    refused(rf"the users are int64 in {parquet[0]} and large_string in {bad}")
    rows[:3].to_csv(bad.with_suffix(".csv"), index=False)
    with open(bad.with_suffix(".csv"), "a") as file:
        file.write("1,a,much\n")
    refused(
        rf"{bad.with_suffix('.csv')}, line 5: the rating is 'much'", [parquet[0], bad.with_suffix(".csv")]
    )


def test_a_column_that_comes_twice_is_named(local, parquet, tmp_path):
    def refused(message, source, **columns):
        with pytest.raises(ValueError, match=message):
            cluster.partition(source, tmp_path / "blocks", client=local, **columns)
        assert os.listdir(tmp_path) == ["parts"]

    rows, bad = table()[1::3], parquet[1]
    twice = rows.assign(more=0).rename(columns={"more": "userId"})
    refused("user='userId' names 2 columns of the frame: rename all but one", dd.from_pandas(twice))
    pq.write_table(pa.Table.from_arrays([pa.array(rows[name]) for name in rows] * 2, [*rows] * 2), bad)
    refused(rf"user='userId' names 2 columns of {bad}: rename all but one", parquet)
    both = "user and item are both the column 'userId' of"
    refused(f"{both} the frame: name another for one of them", frame(rows), item="userId")
    refused(f"{both} {parquet[0]}", parquet[:1], item="userId")
    twice.to_csv(csv := bad.with_suffix(".csv"), index=False)
    refused(rf"user='userId' names 2 columns of {csv}", csv)


def test_a_file_that_vanishes_before_its_worker_reads_it_is_named(local, parquet, tmp_path, monkeypatch):
    compute = local.compute

    def later(*tasks):
        parquet[2].unlink(missing_ok=True)
        return compute(*tasks)

    monkeypatch.setattr(local, "compute", later)
    with pytest.raises(FileNotFoundError, match=rf"{parquet[2]} does not exist"):
        cluster.partition(parquet, tmp_path / "blocks", client=local)
    assert os.listdir(tmp_path) == ["parts"]


def test_ctrl_c_leaves_no_folder(local, tmp_path):
    wait = lambda rows: (time.sleep(0.2), rows)[1]  # noqa: E731
    source = frame(table(), 30).map_partitions(wait, meta=table()[:0])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            cluster.partition(source, tmp_path / "blocks", client=local)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_there_is_left_as_it_is(local, train, tmp_path):
    (tmp_path / "mine").write_text("keep")
    for folder in (tmp_path, train.folder, tmp_path / "mine"):
        with pytest.raises(FileExistsError, match="is there and not empty"):
            cluster.partition(frame(table()), folder, client=local)
    assert (tmp_path / "mine").read_text() == "keep"
    (tmp_path / "empty").mkdir()
    assert cluster.partition(frame(table()), tmp_path / "empty", client=local, n_blocks=1).n_blocks == 1


def test_a_folder_of_no_blocks_is_refused(train, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        cluster.open_blocks(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"its partition did not end: there is no manifest\.json"):
        cluster.open_blocks(tmp_path)
    copy = shutil.copytree(train.folder, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())

    def refused(message):
        with pytest.raises(ValueError, match=message):
            cluster.open_blocks(copy)
        shutil.copytree(train.folder, copy, dirs_exist_ok=True)

    (copy / "manifest.json").write_text("{")
    refused("JSONDecodeError")
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    refused("its format is 2, this version of mflib reads 1; a newer one reads it")
    (copy / "manifest.json").write_text(json.dumps({**manifest, "blocks": manifest["blocks"][1:]}))
    refused(r"items\.npz counts other ratings")
    (copy / "items.npz").write_bytes((copy / "items.npz").read_bytes()[:-200])
    refused(r"items\.npz is no file of cluster\.partition, or is damaged")
    (copy / "block-00002.npz").unlink()
    refused(r"lacks block-00002\.npz")
    assert cluster.open_blocks(copy).digest == train.digest


def test_a_damaged_block_is_named_by_whatever_reads_it(local, train, tmp_path):
    ratings = cluster.partition(frame(table()), tmp_path / "blocks", client=local, n_blocks=1)
    U, V = cluster.random_factors(ratings, 2, client=local)
    path = tmp_path / "blocks" / "block-00000.npz"
    content = bytearray(path.read_bytes())
    place = content.find(Ratings.load(path).values[:9].tobytes())
    assert place > 0
    content[place] ^= 1  # a rating that is another, and no less finite
    faults = {
        "one bit": bytes(content),
        "cut short": bytes(content[:-500]),
        "of another": (Path(train.folder) / "block-00002.npz").read_bytes(),
    }
    jobs = {
        "descend": lambda: cluster.descend(ratings, U, V, client=local, iterations=1),
        "evaluate": lambda: cluster.evaluate(ratings, U, V, client=local),
        "predict": lambda: cluster.predict(ratings, U, V, tmp_path / "predictions", client=local),
        "gather": ratings.gather,
    }
    for damaged in faults.values():
        path.write_bytes(damaged)
        for job in jobs.values():
            with pytest.raises(ValueError, match=rf"a block of ratings cannot be read: {path}"):
                job()
    path.unlink()
    with pytest.raises(ValueError, match=rf"a block of ratings cannot be read: {path} does not exist"):
        jobs["descend"]()
    assert os.listdir(tmp_path) == ["blocks"]


def test_a_worker_that_cannot_write_says_so(local, tmp_path, monkeypatch):
    """A folder that only this process sees."""
    makedirs = os.makedirs
    monkeypatch.setattr(os, "makedirs", lambda path: None)
    with pytest.raises(OSError, match="the folder must be one that this process and all workers see"):
        cluster.partition(frame(table()), tmp_path / "blocks", client=local)
    assert makedirs is not os.makedirs


def test_the_example_of_the_page_runs(local, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    section = page.split("## Ratings that are in no one place")[1].split("\n## ")[0]
    code = section.split("```python")[1].split("```")[0]
    assert "tcp://127.0.0.1:8786" in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocks").mkdir()
    ratings = datasets.planted(200, 150, 9000, n_factors=2, noise=0.5, seed=0).ratings
    rows = pd.DataFrame({"userId": ratings.users, "movieId": ratings.items, "rating": ratings.values + 3})
    frame(rows, 3).to_parquet(tmp_path / "ratings")
    names = {}
    exec(code.replace("tcp://127.0.0.1:8786", local.scheduler.address), names)
    names["client"].close()
    assert names["result"].history["validation_rmse"][-1] < names["result"].history["validation_rmse"][0]
    assert f"'n_ratings': {names['validation'].n_ratings}" in capsys.readouterr().out
    predictions = dd.read_parquet(tmp_path / "predictions")
    assert len(predictions) == names["validation"].n_ratings
    for name in ("train", "validation"):
        assert cluster.open_blocks(f"blocks/{name}").digest == names[name].digest


@pytest.mark.parametrize("kind", ["int64", "str"])
def test_labels_are_encoded_placed_and_kept_as_they_are(kind):
    rng = np.random.default_rng(0)
    given = rng.integers(-50, 50, 300)
    given = given if kind == "int64" else np.array([f"ä{n}" * (n % 3) for n in given], dtype=object)
    found = labels.column("user", pd.Series(given), lambda row: f"row {row}")
    distinct, codes = labels.encode(found)
    assert distinct.to_pylist() == sorted(set(given.tolist()))
    assert distinct.take(codes).to_pylist() == given.tolist()
    arrays = labels.as_arrays("users", distinct)
    assert labels.of_arrays("users", arrays).equals(distinct)
    assert labels.of_arrays("users", arrays, 2, 7).to_pylist() == distinct.to_pylist()[2:7]
    np.testing.assert_array_equal(labels.places(distinct, distinct[3:5])[2:6], [-1, 0, 1, -1])
    bins = labels.bins(found)
    assert bins.min() >= 0
    assert bins.max() < labels.BINS
    np.testing.assert_array_equal(labels.bins(distinct)[codes], bins)


def test_blocks_of_which_one_is_empty_are_refused_as_training_ratings(local, train, held_out, tmp_path):
    few = frame(table()[held_out][:1], 1)
    alike = cluster.partition(few, tmp_path / "few", client=local, like=train)
    assert alike.block_counts.count(0) == N_BLOCKS - 1
    with pytest.raises(ValueError, match=r"3 of 4 blocks have no rating, .* partition these ratings by"):
        cluster.descend(alike, *cluster.random_factors(train, 2, client=local), client=local)


def test_every_ending_of_parquet_is_read_in_a_folder(local, parquet, tmp_path):
    parquet[0].rename(parquet[0].with_suffix(".pq"))
    parquet[1].rename(parquet[1].with_suffix(".parq"))
    found = cluster.partition(tmp_path / "parts", tmp_path / "blocks", client=local)
    assert found.n_ratings == len(table())


def test_without_a_worker_it_says_so(train, tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    start = np.ones((train.shape[0], 2)), np.ones((train.shape[1], 2))
    with clusters.local(n_workers=0) as client:
        for call in (
            lambda: cluster.partition(frame(table()), tmp_path / "blocks", client=client),
            lambda: cluster.descend(train, *start, client=client),
            lambda: cluster.random_factors(train, 2, client=client),
            lambda: cluster.evaluate(train, *start, client=client),
        ):
            with pytest.raises(ConnectionError, match=r"no worker has come within 0\.2 s"):
                call()
    assert not (tmp_path / "blocks").exists()


def test_a_descent_from_a_U_on_workers_survives_one_of_them(local, train):
    """That of a descent is fetched at its start, for nobody can compute it again."""
    scale(local, 2)
    options = {"iterations": 3, "client": local}
    U, V = cluster.random_factors(train, 2, client=local)
    first = cluster.descend(train, U, V, "conjugate", gather=False, **options)
    expected = cluster.descend(train, first.U, first.V, "conjugate", **options)
    pids, killed = sorted(local.run(os.getpid).values()), []

    def kill(row, U, V):
        if not killed:
            killed.append(os.kill(pids[0], signal.SIGKILL))

    found = cluster.descend(train, first.U, first.V, "conjugate", callback=kill, **options)
    np.testing.assert_array_equal(found.U, expected.U)


def calls(client, train, folder):
    """What is asked of workers beside the descent, by name: a function each, that returns what it finds."""
    wait = lambda rows: (time.sleep(0.2), rows)[1]  # noqa: E731
    source = frame(table(), 12).map_partitions(wait, meta=table()[:0])
    start = np.ones((train.shape[0], 2)), np.ones((train.shape[1], 2))
    U = cluster.random_factors(train, 2, client=client)[0]
    return {
        "partition": lambda: files(cluster.partition(source, folder / "blocks", client=client).folder),
        "evaluate": lambda: cluster.evaluate(train, *start, client=client),
        "evaluate U there": lambda: cluster.evaluate(train, U, start[1], client=client),
        "predict": lambda: [
            Path(file).read_bytes()
            for file in cluster.predict(train, *start, folder / "predictions", client=client)
        ],
    }


NAMES = "partition", "evaluate", "evaluate U there", "predict"


def slow(client, seconds):
    """Let what workers do with a block take so long."""

    def patch():
        import time

        from mflib import blocked_ratings

        read = blocked_ratings.read
        blocked_ratings.read = lambda *more: (time.sleep(seconds), read(*more))[1]

    client.run(patch)


@pytest.mark.soak
@pytest.mark.parametrize("comes", [True, False], ids=["others come", "none comes"])
@pytest.mark.parametrize("name", NAMES)
def test_without_all_its_workers_it_goes_on_with_others_or_says_so_after_a_while(
    train, tmp_path, monkeypatch, name, comes
):
    with clusters.local(n_workers=0) as client, contextlib.ExitStack() as stack:
        with clusters.lone_worker(client):
            (tmp_path / "expected").mkdir()
            expected = calls(client, train, tmp_path / "expected")[name]()
        processes = [stack.enter_context(clusters.lone_worker(client)) for _ in range(2)]
        slow(client, 0.5)
        call, killed = calls(client, train, tmp_path)[name], []

        def kill():
            time.sleep(0.7)
            for process in processes:
                process.kill()
            while client.scheduler_info(n_workers=-1)["workers"]:
                time.sleep(0.05)
            killed.append(time.monotonic())
            if comes:
                time.sleep(1)
                stack.enter_context(clusters.lone_worker(client))

        monkeypatch.setattr(waiting, "PATIENCE", 30 if comes else 3)
        thread = threading.Thread(target=kill)
        thread.start()
        if comes:
            assert call() == expected
        else:
            with pytest.raises(ConnectionError, match=r"no worker has come within 3 s"):
                call()
            assert 3 <= time.monotonic() - killed[0] < 10
            assert sorted(os.listdir(tmp_path)) == ["expected"]
        thread.join()
        assert killed


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_workers_that_stay_paused_end_what_is_done_with_blocks(train, tmp_path, monkeypatch, name):
    with clusters.local(n_workers=1, memory_limit="1GB") as client:
        (worker,) = client.scheduler_info(n_workers=-1)["workers"]
        (tmp_path / "first").mkdir()
        calls(client, train, tmp_path / "first")[name]()  # what is loaded or compiled then takes memory
        slow(client, 1)
        call = calls(client, train, tmp_path)[name]

        def crowd():
            time.sleep(0.7)
            client.run(clusters.crowd)
            clusters.wait_until(client, "paused", worker)

        monkeypatch.setattr(waiting, "PATIENCE", 3)
        thread = threading.Thread(target=crowd)
        thread.start()
        with pytest.raises(MemoryError, match=rf"worker {worker} is paused by Dask.*3 s: .* more blocks"):
            call()
        thread.join()
        client.run(clusters.relieve)
        clusters.wait_until(client, "running", worker)
        call()
