"""The observed ratings, Y and R in one (E02, E03): what is stored is observed, be it a zero."""

import hashlib
import json
from functools import cached_property

import numpy as np

from mflib import checks, columns, readers, sorting
from mflib.orders import Orders


class Ratings(Orders):
    """Observed ratings of n users on m items, in two orders: by user, then by item, and the other way round.

    Make one with `from_arrays`, `from_dense`, `from_frame`, `from_scipy`, `from_csv` or `load`; they check
    what they get. Nothing can be changed afterwards. 16 bytes a rating with float32, 24 with float64, and
    `times`.

    Attributes
    ----------
    users, items : ndarray of int32 (int64 past 2³¹ rows), shape (n_ratings,)
        Row i and column j of each rating, sorted by user, then by item. `users` is made at each use.
    values : ndarray of float32 or float64, shape (n_ratings,)
        y_ij, in rating points.
    times : ndarray, shape (n_ratings,), or None
        When each rating was given, in the unit it came in.
    user_starts, item_starts : ndarray of int64, shapes (n_users + 1,) and (n_items + 1,)
        The ratings of user i are user_starts[i] : user_starts[i + 1], those of item j the same by item.
    users_by_item, values_by_item : ndarray, shape (n_ratings,)
        The same ratings, sorted by item, then by user.
    shape : tuple of int
        (n_users, n_items); users and items without a rating count.
    user_labels, item_labels : list or None
        The id that row i or column j stands for; None where indices were given.

    Examples
    --------
    >>> ratings = Ratings.from_arrays(["bob", "ann", "ann"], ["Alien", "Brazil", "Alien"], [3, 0, 5])
    >>> ratings
    Ratings: 2 users × 2 items, 3 ratings (75% of all)
    >>> ratings.user_labels, ratings.users, ratings.values
    (['ann', 'bob'], array([0, 0, 1], dtype=int32), array([5., 0., 3.]))
    """

    @classmethod
    def from_arrays(cls, users, items, values, times=None, shape=None, dtype=None):
        """Ratings from one entry per rating, in any order.

        Parameters
        ----------
        users, items : array_like, shape (n_ratings,)
            With `shape`: row and column indices. Without: labels of any hashable kind, one row (column) for
            each distinct one, in sorted order.
        values : array_like of numbers, shape (n_ratings,)
        times : array_like of numbers or dates, shape (n_ratings,), optional
        shape : tuple of int, optional
            (n_users, n_items).
        dtype : dtype, optional
            float32 or float64, of the values kept. By default float32 stays, everything else becomes float64.

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where lengths differ, nothing is given, a value is no finite number of that dtype, an index
            lies outside `shape`, a label is missing, or a (user, item) pair comes twice; the message names
            the row.

        Notes
        -----
        O(N + n + m) with `shape`; labels are looked up besides. What is given is neither kept nor changed.

        Examples
        --------
        >>> Ratings.from_arrays([0, 2], [1, 0], [4.5, 3.0], shape=(3, 2))
        Ratings: 3 users × 2 items, 2 ratings (33.3% of all)
        """
        return cls._from_columns(users, items, values, times, shape, lambda row: f"row {row}", dtype)

    @classmethod
    def from_dense(cls, Y, R, dtype=None):
        """Ratings from a matrix Y and its mask R (E02).

        Parameters
        ----------
        Y : ndarray, shape (n_users, n_items)
            What stands where R is 0 is never looked at.
        R : ndarray of 0 and 1, shape (n_users, n_items)
        dtype : dtype, optional
            As for `from_arrays`.

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            As `dense.loss` does, and where an observed rating is not finite.

        Examples
        --------
        >>> Ratings.from_dense(np.array([[5.0, 0.0], [0.0, 1.0]]), np.array([[1, 0], [1, 1]])).values
        array([5., 0., 1.])
        """
        users, items = np.nonzero(checks.mask(Y, R))
        where = lambda row: f"user {users[row]}, item {items[row]}"  # noqa: E731
        return cls._from_columns(users, items, Y[users, items], None, Y.shape, where, dtype)

    @classmethod
    def from_frame(cls, df, user="userId", item="movieId", rating="rating", time=None, dtype=None):
        """Ratings from a pandas DataFrame, one row a rating, with labels for users and items.

        Parameters
        ----------
        df : pandas.DataFrame
        user, item, rating : str
            Names of the columns.
        time : str, optional
        dtype : dtype, optional
            As for `from_arrays`.

        Returns
        -------
        Ratings

        Raises
        ------
        ValueError
            Where a column is missing, there twice or named twice, and as `from_arrays` does; the message
            names the row of the frame.

        Examples
        --------
        >>> import pandas as pd
        >>> df = pd.DataFrame({"who": ["ann", "bob"], "what": ["Alien", "Alien"], "stars": [5, 3]})
        >>> Ratings.from_frame(df, user="who", item="what", rating="stars").n_ratings
        2
        """
        if not hasattr(df, "columns"):
            raise TypeError(
                f"df must be a pandas DataFrame, got {type(df).__name__}: for columns, from_arrays"
            )
        named = {"user": user, "item": item, "rating": rating, **({} if time is None else {"time": time})}
        checks.columns(named, df.columns, "the frame")
        times = None if time is None else df[time].to_numpy()
        where = lambda row: f"row {df.index[row]}"  # noqa: E731
        return cls._from_columns(
            df[user].to_numpy(), df[item].to_numpy(), df[rating].to_numpy(), times, None, where, dtype
        )

    @classmethod
    def from_scipy(cls, A, dtype=None):
        """Ratings from a SciPy sparse matrix: every stored entry is a rating, a stored zero too.

        Parameters
        ----------
        A : scipy.sparse matrix or array, shape (n_users, n_items)
        dtype : dtype, optional
            As for `from_arrays`.

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where A is no sparse matrix, and as `from_arrays` does.

        Examples
        --------
        >>> from scipy.sparse import coo_array
        >>> Ratings.from_scipy(coo_array(([5.0, 0.0], ([0, 1], [1, 0])), shape=(2, 2))).n_ratings
        2
        """
        if not hasattr(A, "tocoo"):
            raise TypeError(
                f"A must be a SciPy sparse matrix, got {type(A).__name__}: for an array, from_dense"
            )
        if A.ndim != 2:
            raise ValueError(f"A must have two axes (users, items), got shape {A.shape}")
        coo = A.tocoo()
        where = lambda row: f"user {coo.row[row]}, item {coo.col[row]}"  # noqa: E731
        return cls._from_columns(coo.row, coo.col, coo.data, None, coo.shape, where, dtype)

    @classmethod
    def from_csv(cls, path, user="userId", item="movieId", rating="rating", time="timestamp", dtype=None):
        """Ratings from a CSV file with a header, one line a rating, columns named as in MovieLens by default.

        Parameters
        ----------
        path : str or path
            UTF-8, comma-separated; `.gz` is unpacked.
        user, item, rating : str
            Names of the columns; others are skipped.
        time : str or None
            Where the file has no column `timestamp`, the default reads none.
        dtype : dtype, optional
            float32 or float64, of the values kept; float64 by default.

        Returns
        -------
        Ratings

        Raises
        ------
        FileNotFoundError, ValueError
            Where there is no such file, it is empty, lacks a column, has it twice, or it is named twice, or a
            line is not a rating: a field is missing or one too many, the rating is no finite number, the pair
            has come before. The message names the line.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.csv")
        >>> _ = path.write_text("who,what,stars\\nann,Alien,5\\nbob,Alien,3.5\\n")
        >>> Ratings.from_csv(path, user="who", item="what", rating="stars")
        Ratings: 2 users × 1 items, 2 ratings (100% of all)
        """
        return cls.from_table(readers.read_csv(path, user, item, rating, time), dtype)

    def save(self, path):
        """Write the ratings to a file that `load` opens at once; what stood there is replaced.

        Parameters
        ----------
        path : str or path
            An uncompressed .npz, so `numpy.load` reads its arrays too.

        Raises
        ------
        OSError
            Where the file cannot be written; what stood there before is as it was.
        TypeError
            Where a label is no number, text, bytes, or tuple of these.
        """
        from mflib import storage

        storage.save(path, self)

    @classmethod
    def load(cls, path, verify=False):
        """Ratings from a file of `save`, mapped into memory: read from the disk as they are used.

        Parameters
        ----------
        path : str or path
            Not to be changed while these ratings are in use; `save` to the same path is no change.
        verify : bool
            Read all of the file at once, and compare its check sums and its two orders. Without, pointers and
            indices are checked, so no file makes a kernel read elsewhere, but a wrong value goes unnoticed.

        Returns
        -------
        Ratings

        Raises
        ------
        FileNotFoundError, ValueError
            Where there is no such file, or it is damaged.

        Notes
        -----
        Reads the indices, 8 of the 16 bytes a rating with float32; memory is that of the labels.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.npz")
        >>> Ratings.from_arrays(["ann", "bob"], ["Alien", "Alien"], [5, 3]).save(path)
        >>> Ratings.load(path)
        Ratings: 2 users × 1 items, 2 ratings (100% of all)
        """
        from mflib import storage

        return cls._of(*storage.load(path, verify))

    @classmethod
    def from_table(cls, table, dtype=None):
        """Ratings from what `readers.read_csv` returns; errors name the line of the file."""
        users, items, values, times, where = table
        del table  # whose values may be freed then
        values = columns.finite(values, where, dtype)
        times = None if times is None else columns.ordered("times", times, where)
        return cls._from_codes(users.codes, items.codes, values, times, (users.labels, items.labels), where)

    @classmethod
    def _from_columns(cls, users, items, values, times, shape, where, dtype):
        """Check and encode; `where(row)` says in an error where that row came from."""
        values = columns.finite(values, where, dtype)
        users, items = (
            columns.one_axis("users", users, len(values)),
            columns.one_axis("items", items, len(values)),
        )
        if times is not None:
            times = columns.ordered("times", columns.one_axis("times", times, len(values)), where)
        if shape is None:
            (user_labels, users), (item_labels, items) = (
                columns.encode("user", users, where),
                columns.encode("item", items, where),
            )
            return cls._from_codes(users, items, values, times, (user_labels, item_labels), where)
        shape = checks.shape(shape)
        users = columns.indices("user", users, shape[0], where)
        items = columns.indices("item", items, shape[1], where)
        return cls._from_codes(users, items, values, times, (None, None), where, shape)

    @classmethod
    def _from_codes(cls, users, items, values, times, labels, where, shape=None):
        """Sort, and see that no pair comes twice."""
        shape = shape or tuple(map(len, labels))
        by_user, by_item, times = sorting.both_orders(users, items, values, times, shape)
        ratings = cls._of(by_user, by_item, times, *labels)
        again = sorting.first_repeat(by_user)
        if again is not None:
            u, i = int(np.searchsorted(ratings.user_starts, again, side="right")) - 1, ratings.items[again]
            first, second = np.flatnonzero((users == u) & (items == i))[:2]
            user, item = (labels[0][u], labels[1][i]) if labels[0] else (u, i)
            raise ValueError(
                f"{where(second)}: user {user!s} has rated item {item!s} already ({where(first)}): "
                "keep one rating for each pair"
            )
        return ratings

    def __repr__(self):
        n, m = self.shape
        return f"Ratings: {n} users × {m} items, {self.n_ratings} ratings ({100 * self.density:.3g}% of all)"

    @cached_property
    def digest(self):
        """SHA-256 of shape, labels and (user, item, rating, time), whatever order the rows came in."""
        header = [self.shape, *([repr(label) for label in labels or ()] for labels in self._labels)]
        if self.times is not None:  # the unit of dates matters: 1 s is not 1 ms
            header.append(self.times.dtype.name if self.times.dtype.kind == "M" else "numbers")
        sha = hashlib.sha256(json.dumps(header).encode())
        columns_kept = [(self.users, "<i8"), (self.items, "<i8"), (self.values, "<f8")]
        if self.times is not None:
            columns_kept.append((self.times, "<f8" if self.times.dtype.kind == "f" else "<i8"))
        for array, kind in columns_kept:
            for chunk in columns.chunks(array):
                sha.update(chunk.astype(kind).tobytes())
        return sha.hexdigest()

    @property
    def _labels(self):
        return self.user_labels, self.item_labels

    @cached_property
    def _rows(self):
        """From label to row, for users and for items."""
        return tuple({label: row for row, label in enumerate(labels or ())} for labels in self._labels)

    def user_index(self, label):
        """Row of the user with this label.

        Raises
        ------
        KeyError
            Where there is none.
        """
        return self._index(0, "user", label)

    def item_index(self, label):
        """Column of the item with this label.

        Raises
        ------
        KeyError
            Where there is none.
        """
        return self._index(1, "item", label)

    def _index(self, axis, what, label):
        if self._labels[axis] is None:
            raise KeyError(f"these ratings have no {what} labels: they were made from indices")
        if label not in self._rows[axis]:
            raise KeyError(
                f"no {what} {label!r} among the {self.shape[axis]} {what}s (kind and spelling count)"
            )
        return self._rows[axis][label]
