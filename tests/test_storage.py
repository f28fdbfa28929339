"""Ratings in a file: the same when loaded, mapped, safe whatever the file holds, whole or not written."""

import mmap
import resource
import zipfile

import numpy as np
import pytest
import validity

from mflib import Ratings, storage

ROWS = {"values": [5.0, 3.0, 4.0], "times": [7, 8, 9]}
BOTH = {"users": [2, 0, 2], "items": [0, 1, 1], "shape": (4, 2)}
KINDS = {
    "indices": BOTH,
    "no times": BOTH | {"times": None},
    "dates": BOTH | {"times": np.array(["2020", "2021", "2022"], "M8[s]")},
    "float32": BOTH | {"dtype": "float32"},
    "whole numbers": {"users": [2**40, 7, 2**40], "items": [1, -1, -1]},
    "text": {"users": ["Zoë\0", "", "Zoë\0"], "items": ["a\ud800", "b", "b"]},
    "mixed": {"users": [2**70, (1, (b"\xff", 2.5)), 2**70], "items": [True, "True", "True"]},
}


@pytest.fixture(params=KINDS)
def ratings(request):
    return Ratings.from_arrays(**ROWS | KINDS[request.param])


def test_what_is_loaded_is_what_was_saved(ratings, tmp_path):
    ratings.save(tmp_path / "mine")
    for verify in (False, True):
        loaded = Ratings.load(tmp_path / "mine", verify=verify)
        validity.check(loaded)
        assert (loaded.digest, loaded.values.dtype) == (ratings.digest, ratings.values.dtype)
        assert loaded.user_labels == ratings.user_labels
        assert [*map(type, loaded.item_labels or [])] == [*map(type, ratings.item_labels or [])]


def memory_of(array):
    """What owns the memory of an array."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array


def test_a_loaded_array_is_the_file_itself(tmp_path):
    path = tmp_path / "mine.npz"
    Ratings.from_arrays(**ROWS | BOTH).save(path)
    loaded = Ratings.load(path)
    for name in (*storage.BY_USER, *storage.BY_ITEM, "times"):
        assert isinstance(memory_of(getattr(loaded, name)), mmap.mmap), name


def test_numpy_reads_the_file_too(tmp_path):
    ratings = Ratings.from_arrays(**ROWS | BOTH)
    ratings.save(tmp_path / "mine.npz")
    with np.load(tmp_path / "mine.npz", allow_pickle=False) as arrays:
        assert {*arrays} == {"about", "times", *storage.BY_USER, *storage.BY_ITEM}
        np.testing.assert_array_equal(arrays["values_by_item"], ratings.values_by_item)


def test_the_same_ratings_make_the_same_file(tmp_path):
    for name in "ab":
        Ratings.from_arrays(**ROWS | KINDS["text"]).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_saving_to_a_file_that_is_in_use_changes_nothing_of_what_was_loaded(tmp_path):
    path = tmp_path / "mine.npz"
    Ratings.from_arrays(**ROWS | BOTH).save(path)
    loaded = Ratings.load(path)
    Ratings.from_arrays([0], [0], [1.0]).save(path)
    np.testing.assert_array_equal(loaded.values, [3, 5, 4])
    assert Ratings.load(path).n_ratings == 1


def test_a_file_that_cannot_be_written_leaves_what_stood_there(tmp_path):
    """The limit on the size of files acts as a full disk."""
    path = tmp_path / "mine.npz"
    path.write_text("before")
    big = Ratings.from_dense(np.ones((200, 200)), np.ones((200, 200)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"mine\.npz cannot be written: File too large"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("before", [path])
    with pytest.raises(OSError, match=r"none.mine\.npz cannot be written: No such file or directory"):
        big.save(tmp_path / "none" / "mine.npz")
    with pytest.raises(OSError, match=r"cannot be written: Is a directory"):
        big.save(tmp_path)
    assert [*tmp_path.iterdir()] == [path]


def test_labels_that_no_file_can_hold_are_refused_before_it_is_written(tmp_path):
    ratings = Ratings.from_arrays(np.array(["2020", "2021"], "M8[D]"), [1, 2], [1, 2])
    with pytest.raises(TypeError, match=r"user_labels holds datetime\.date\(2020, 1, 1\) \(date\), which"):
        ratings.save(tmp_path / "mine.npz")
    assert not [*tmp_path.iterdir()]


def test_a_path_that_is_no_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope does not exist: give the path of a file that Ratings"):
        Ratings.load(tmp_path / "nope")
    with pytest.raises(FileNotFoundError, match=r"is a folder, not a file: give the path of a file"):
        Ratings.load(tmp_path)


# by user (0, 1), (2, 0), (2, 1); by item (0, 2), (1, 0), (1, 2)
ABOUT = {"format": 1, "user_labels": None, "item_labels": None}
OUTSIDE = "an index lies outside the shape"
STARTS = "the starts of the rows"
TAMPERED = {
    "an item too large": ({"items": [1, 0, 2]}, OUTSIDE),
    "an item below zero": ({"items": [-1, 0, 1]}, OUTSIDE),
    "a user too large": ({"users_by_item": [2, 0, 4]}, OUTSIDE),
    "a user below zero": ({"users_by_item": [-1, 0, 2]}, OUTSIDE),
    "unsigned items": ({"items": np.array([1, 0, 2**32 - 1], np.uint32)}, OUTSIDE),
    "broken items": ({"items": np.array([1.0, 0.0, 1.0])}, OUTSIDE),
    "no item at all": ({"item_starts": np.array([0])}, OUTSIDE),
    "starts that end late": ({"user_starts": np.array([0, 1, 1, 3, 4])}, STARTS),
    "starts that begin late": ({"user_starts": np.array([1, 1, 1, 3, 3])}, STARTS),
    "starts that begin early": ({"item_starts": np.array([-1, 1, 3])}, STARTS),
    "starts that go back": ({"user_starts": np.array([0, 9, 1, 3, 3])}, "do not ascend"),
    "starts of another kind": ({"item_starts": np.array([0, 1, 3], np.int32)}, STARTS),
    "no starts": ({"user_starts": np.array([], np.int64)}, "IndexError"),
    "few values": ({"values": np.ones(2)}, "not of one length"),
    "few users": ({"users_by_item": [2, 0]}, "not of one length"),
    "no rating": ({name: [] for name in storage.BY_USER + storage.BY_ITEM}, "the values are int32"),
    "whole values": ({"values": np.array([3, 5, 4])}, "the values are int64 and float64"),
    "values of two kinds": ({"values": np.ones(3, np.float32)}, "the values are float32 and float64"),
    "values of the other byte order": ({"values": np.ones(3, ">f8")}, "the values are >f8"),
    "a table": ({"values": np.ones((3, 1))}, "no aligned column of numbers or dates"),
    "text": ({"times": np.array(["a", "b", "c"])}, "no aligned column of numbers or dates"),
    "few times": ({"times": np.array([7, 8])}, "not one time for each rating"),
    "a column less": ({"values_by_item": None}, "KeyError: 'values_by_item'"),
}
TOLD = {
    "another format": ({"format": 2}, "its format is 2, this version of mflib reads 1"),
    "few labels": ({"item_labels": ["a"]}, "not one label for each row"),
    "no list of labels": ({"item_labels": "ab"}, "not one label for each row"),
    "a label twice": ({"item_labels": [1, 1.0]}, "a label comes twice"),
    "code": ({"item_labels": [1, {"literal": "__import__('os').getcwd()"}]}, "malformed node"),
    "no hashable label": ({"item_labels": [1, []]}, "unhashable"),
}


@pytest.fixture
def tampered(tmp_path):
    """A file of the ratings above with something else in it."""

    def tampered(arrays=None, about=None):
        ratings = Ratings.from_arrays(**ROWS | BOTH)
        content = {name: getattr(ratings, name) for name in (*storage.BY_USER, *storage.BY_ITEM, "times")}
        for name, array in (arrays or {}).items():
            content[name] = np.array(array, np.int32) if isinstance(array, list) else array
        content = {name: array for name, array in content.items() if array is not None}
        storage.write(tmp_path / "mine.npz", ABOUT | (about or {}), content)
        return tmp_path / "mine.npz"

    return tampered


@pytest.mark.parametrize(("arrays", "message"), TAMPERED.values(), ids=TAMPERED)
def test_a_file_with_other_arrays_is_refused(tampered, arrays, message):
    with pytest.raises(ValueError, match=rf"mine\.npz is no file of Ratings\.save.*{message}"):
        Ratings.load(tampered(arrays))


@pytest.mark.parametrize(("about", "message"), TOLD.values(), ids=TOLD)
def test_a_file_that_says_something_else_is_refused(tampered, about, message):
    with pytest.raises(ValueError, match=rf"mine\.npz is no file of Ratings\.save.*{message}"):
        Ratings.load(tampered(about=about))


@pytest.mark.parametrize(
    "arrays",
    [
        {"values": np.array([3, 5, 4.5])},
        {"values": np.array([np.nan, 5, 4]), "values_by_item": np.array([5, np.nan, 4])},
        {"users_by_item": [1, 0, 2]},
        {"items": [1, 1, 0], "values": np.array([3.0, 4.0, 5.0])},
        {"items": [1, 1, 1], "item_starts": np.array([0, 0, 3]), "users_by_item": [0, 2, 2]},
    ],
)
def test_orders_that_disagree_are_found_where_asked_for(tampered, arrays):
    path = tampered(arrays)
    assert Ratings.load(path).n_ratings == 3
    with pytest.raises(ValueError, match="a rating is not finite, or the two orders are not of the same"):
        Ratings.load(path, verify=True)


def test_a_changed_byte_is_found_where_asked_for(tmp_path):
    path = tmp_path / "mine.npz"
    Ratings.from_dense(np.full((90, 90), 5.0), np.ones((90, 90))).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(Ratings.load(path).values)) + 8 * 8000] ^= 1
    path.write_bytes(content)
    assert np.flatnonzero(Ratings.load(path).values != 5) == [8000]
    with pytest.raises(ValueError, match=r"the check sum of values\.npy is wrong"):
        Ratings.load(path, verify=True)


@pytest.mark.parametrize("content", [b"", b"userId,movieId\n", b"PK\x05\x06" + bytes(18)])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"mine\.npz is no file of Ratings\.save, or is damaged"):
        Ratings.load(tmp_path / "mine.npz")


def test_compressed_pickled_and_unaligned_arrays_are_refused(tmp_path):
    ratings = Ratings.from_arrays(**ROWS | BOTH)
    arrays = {name: getattr(ratings, name) for name in (*storage.BY_USER, *storage.BY_ITEM)}
    about = np.frombuffer(b"{}", np.uint8)
    for write, more, message in (
        (np.savez_compressed, {}, r"about\.npy is compressed"),
        (np.savez, {"times": np.array([1, "a", None], dtype=object)}, "no aligned column"),
    ):
        write(tmp_path / "mine.npz", about=about, **more, **arrays)
        with pytest.raises(ValueError, match=message):
            Ratings.load(tmp_path / "mine.npz")


def shaken(path, rng):
    """Change, leave out or put in some bytes of a file."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = rng.integers(len(content), size=rng.integers(1, 4))
    content[places] = rng.choice([0, 1, 127, 128, 255, *rng.integers(256, size=3)], size=len(places))
    match rng.integers(4):
        case 0:
            content = np.delete(content, slice(places[0], places[0] + rng.integers(1, 99)))
        case 1:
            content = np.insert(content, places[0], rng.integers(256, size=9))
    path.write_bytes(content.tobytes())


def other_arrays(rng):
    """One array of those above with one entry changed, or of another length or kind."""
    ratings = Ratings.from_arrays(**ROWS | BOTH)
    name = rng.choice([*storage.BY_USER, *storage.BY_ITEM])
    array = getattr(ratings, name).copy()
    array[rng.integers(len(array))] += rng.choice([-(2**31), -1, 1, 2, 3, 2**30])
    match rng.integers(6):
        case 0:
            array = array[: rng.integers(len(array))]
        case 1:
            array = array.astype(rng.choice(["i1", "u4", "i4", "i8", "f4", "M8[s]", ">i4"]))
    return {name: array}


def test_whatever_happens_to_a_file_what_loads_is_safe(tampered):
    """Bytes or arrays changed at random: an error that names the file, or pointers and indices within."""
    outcomes = {"loaded": 0, "refused": 0}
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        if seed % 2:
            path = tampered(other_arrays(rng))
        else:
            shaken(path := tampered(), rng)
        try:
            loaded = Ratings.load(path)
        except ValueError as error:
            assert "mine.npz is no file of Ratings.save, or is damaged" in str(error)  # noqa: PT017
            outcomes["refused"] += 1
            continue
        outcomes["loaded"] += 1
        for starts, indices, other in (
            (loaded.user_starts, loaded.items, loaded.item_starts),
            (loaded.item_starts, loaded.users_by_item, loaded.user_starts),
        ):
            assert (starts[0], starts[-1]) == (0, len(indices)), seed
            assert (np.diff(starts) >= 0).all(), seed
            assert 0 <= indices.min() <= indices.max() < len(other) - 1, seed
        assert len(loaded.items) == len(loaded.users_by_item) == len(loaded.values), seed
        assert len(loaded.values_by_item) == len(loaded.values), seed
    assert min(outcomes.values()) > 50, outcomes


def test_the_file_is_a_zip_without_fault(tmp_path):
    Ratings.from_arrays(**ROWS | BOTH).save(tmp_path / "mine.npz")
    with zipfile.ZipFile(tmp_path / "mine.npz") as archive:
        assert archive.testzip() is None
