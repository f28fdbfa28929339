"""Arrays in a file: an uncompressed .npz, which `numpy.load` reads as well, opened by mapping it.

Each array begins at a multiple of 64 bytes, so one that is mapped is aligned as one that was allocated.
Labels are JSON, and nothing is pickled.
"""

import ast
import json
import mmap
import os
import struct
import tempfile
import uuid
import zipfile
from contextlib import contextmanager, suppress

import numpy as np

from mflib import sorting
from mflib.readers import existing_file

FORMAT = 1
BY_USER = ("user_starts", "items", "values")
BY_ITEM = ("item_starts", "users_by_item", "values_by_item")
_ALIGNMENT = 64
_LOCAL_HEADER = 30  # bytes of an entry of a zip file before its name
_ZIP64 = 20  # bytes of the field that zipfile puts behind ours
_PADDING = 0xD935  # kind of an extra field that only aligns


def save(path, ratings):
    """Write ratings: all of it or nothing."""
    about = {"format": FORMAT}
    for name in ("user_labels", "item_labels"):
        about[name] = labels_as_json(name, getattr(ratings, name))
    arrays = {name: getattr(ratings, name) for name in (*BY_USER, *BY_ITEM)}
    if ratings.times is not None:
        arrays["times"] = ratings.times
    write(path, about, arrays)


def write(path, about, arrays):
    """Write a .npz of aligned arrays, and what JSON says about them: all of it or nothing."""
    with _written_whole(os.fspath(path)) as file:
        write_to(file, about, arrays)


def write_to(file, about, arrays):
    """`write` to a binary file that is open."""
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays}
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the same ratings make the same file
            begin = file.tell() + _LOCAL_HEADER + len(entry.filename) + 4 + _ZIP64
            padding = bytes(-begin % _ALIGNMENT)
            entry.extra = struct.pack("<HH", _PADDING, len(padding)) + padding
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def check_place(path):
    """That a file can be written there, which `write` would say only when all has been computed."""
    try:
        tempfile.TemporaryFile(dir=os.path.dirname(path) or ".").close()
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror}") from error


def load(path, verify):
    """What `save` wrote: (by_user, by_item, times, user_labels, item_labels), its arrays mapped.

    Pointers and indices are always checked, so that whatever the file holds is safe to compute with. With
    `verify`, so are the check sums of the file, the values, and that both orders are of the same ratings.
    """

    def parts(about, arrays):
        check_format(about, FORMAT)
        by_user, by_item = ([arrays[name] for name in names] for names in (BY_USER, BY_ITEM))
        _check(by_user, by_item, verify)
        times = _checked_times(arrays.get("times"), len(by_user[1]))
        labels = [
            labels_of_json(about[name], len(starts) - 1)
            for name, (starts, *_) in (("user_labels", by_user), ("item_labels", by_item))
        ]
        return by_user, by_item, times, *labels

    return read(path, "Ratings.save", parts, verify)


def check_format(about, known):
    """That this version of mflib reads the format of a file."""
    if about["format"] != known:
        newer = isinstance(about["format"], int) and about["format"] > known
        raise ValueError(
            f"its format is {about['format']!r}, this version of mflib reads {known}"
            + ("; a newer one reads it" if newer else "")
        )


def read(path, writer, parts, verify):
    """`parts(about, arrays)` of a file of `write`, its arrays mapped.

    Parameters
    ----------
    path : str or path
    writer : str
        What wrote it, for messages.
    parts : callable
        What it raises is an error of the file.
    verify : bool
        Compare the check sums of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, or it is another one or damaged.
    """
    path = existing_file(path, f"that {writer} wrote")
    with open(path, "rb") as file:
        try:
            arrays = _mapped(file, verify)
            about = json.loads(arrays.pop("about").tobytes())
            return parts(about, arrays)
        except Exception as error:  # a damaged file makes zipfile, NumPy and json raise what they like
            raise ValueError(
                f"{path} is no file of {writer}, or is damaged ({type(error).__name__}: {error}): "
                "save it anew"
            ) from error


@contextmanager
def _written_whole(path):
    """A file to write, under a temporary name until it is complete."""
    try:
        temporary = os.path.join(os.path.dirname(path), f".mflib-{uuid.uuid4().hex}")
        # not mkstemp, whose files are for oneself alone: to know the umask is to change it for all threads
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with open(handle, "wb") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            with suppress(FileNotFoundError):  # where Ctrl-C came while it got its name
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror}") from error


def _mapped(file, verify):
    """The arrays of a .npz by name, as read-only views of the mapped file."""
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        if verify and (bad := archive.testzip()):
            raise ValueError(f"the check sum of {bad} is wrong")
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{entry.filename} is compressed")
            with archive.open(entry) as member:
                if np.lib.format.read_magic(member) != (1, 0):
                    raise ValueError(f"{entry.filename} is no array of version 1.0")
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                head = member.tell()
            # as zipfile has just read it: a name and extra fields stand before the content
            name_and_extra = struct.unpack_from("<HH", mapped, entry.header_offset + _LOCAL_HEADER - 4)
            begin = entry.header_offset + _LOCAL_HEADER + sum(name_and_extra) + head
            if dtype.kind not in "iufM" or len(shape) != 1 or begin % dtype.alignment:
                raise ValueError(
                    f"{entry.filename} is no aligned column of numbers or dates: {dtype} {shape}"
                )
            arrays[entry.filename.removesuffix(".npy")] = np.ndarray(shape, dtype, mapped, begin)
    return arrays


def _check(by_user, by_item, verify):
    """That no pointer and no index leads out of the arrays, and each array is of its kind and length."""
    (_, items, values), (_, users, item_values) = by_user, by_item
    if values.dtype not in (np.float32, np.float64) or item_values.dtype != values.dtype:
        raise ValueError(f"the values are {values.dtype} and {item_values.dtype}")
    if len({len(array) for array in (items, values, users, item_values)}) != 1 or len(values) == 0:
        raise ValueError("the columns are not of one length")
    for (starts, indices, _), n_rows in ((by_user, len(by_item[0]) - 1), (by_item, len(by_user[0]) - 1)):
        if starts.dtype != np.int64 or starts[0] != 0 or starts[-1] != len(values):
            raise ValueError("the starts of the rows are not those of these ratings")
        if np.any(starts[1:] < starts[:-1]):
            raise ValueError("the starts of the rows do not ascend")
        if indices.dtype not in (np.int32, np.int64) or indices.min() < 0 or indices.max() >= n_rows:
            raise ValueError("an index lies outside the shape")
    if verify and not (np.isfinite(values).all() and sorting.agree(by_user, by_item)):
        raise ValueError("a rating is not finite, or the two orders are not of the same ratings")


def _checked_times(times, length):
    if times is not None and len(times) != length:
        raise ValueError("there is not one time for each rating")
    return times


def labels_as_json(name, labels):
    """Labels that JSON tells apart as they are, others as Python literals."""
    if labels is None or all(type(label) in (int, str, float, bool) for label in labels):
        return labels
    return [
        label if type(label) in (int, str, float, bool) else {"literal": _literal(name, label)}
        for label in labels
    ]


def _literal(name, label):
    try:
        if ast.literal_eval(repr(label)) == label:
            return repr(label)
    except (ValueError, SyntaxError):
        pass
    raise TypeError(
        f"{name} holds {label!r} ({type(label).__name__}), which cannot be saved: "
        "use numbers, text, bytes or tuples of these"
    )


def labels_of_json(labels, length):
    if labels is None:
        return None
    if len(labels) != length or not isinstance(labels, list):
        raise ValueError("there is not one label for each row")
    labels = [ast.literal_eval(label["literal"]) if isinstance(label, dict) else label for label in labels]
    if len(set(labels)) != length:
        raise ValueError("a label comes twice")
    return labels
