"""The users or the items of a model: from the caller's ids to rows of factors, and back."""

from functools import cached_property

import numpy as np

from mflib import checks
from mflib.text import shown

# So many of the ids that are unknown are named in an error.
NAMED = 5


class Axis:
    """Users or items: the label of each row where the ratings had labels, and which rows are known.

    Known is what has a training rating; all else, be it a row within the shape, is of the row behind the
    last.

    Parameters
    ----------
    what : {"user", "item"}
    labels : list or None
        None: ids are row indices.
    counts : ndarray of int64, shape (n_rows,)
        Training ratings of each row.
    """

    def __init__(self, what, labels, counts):
        self.what, self.labels, self.counts = what, labels, counts

    def __len__(self):
        return len(self.counts)

    @property
    def known(self):
        """Which rows have a training rating, shape (n_rows,)."""
        return self.counts > 0

    @cached_property
    def _places(self):
        return {label: row for row, label in enumerate(self.labels)}

    def rows(self, ids):
        """The row of each id; `len(self)` where it is unknown.

        Parameters
        ----------
        ids : list or ndarray, shape (n,)
            As `listed` returns them.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        TypeError, ValueError
            Where an id cannot be one: a label that is not hashable, an index that is negative or no whole
            number.
        """
        unknown = len(self)
        if self.labels is None:
            rows = np.minimum(checks.indices(f"{self.what}s", np.asarray(ids), 1 << 63), unknown)
        else:
            ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
            try:
                places = (self._places.get(label, unknown) for label in ids)
                rows = np.fromiter(places, np.int64, len(ids))
            except TypeError as error:
                raise TypeError(f"{self.what} labels must be hashable: {error}") from None
        return np.where(np.append(self.known, False)[rows], rows, unknown)

    def label(self, row):
        """The id of a row: its label, or its index."""
        return int(row) if self.labels is None else self.labels[row]

    def named(self, ids, rows):
        """The unknown ones among ids, for an error; empty where all are known."""
        ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
        distinct = dict.fromkeys(ids[place] for place in np.flatnonzero(rows == len(self)))
        if not distinct:
            return ""
        names = ", ".join(shown(repr(id)) for id in [*distinct][:NAMED])
        plural = "s" if len(distinct) > 1 else ""
        return f"{len(distinct)} {self.what}{plural} ({names}{', …' if len(distinct) > NAMED else ''})"


def listed(name, ids):
    """Ids as a list or array, and whether it was a single one.

    A list, an array, a range or a column of pandas holds many; whatever else comes is one id, tuples too.
    """
    if hasattr(ids, "to_numpy"):  # of pandas
        ids = ids.to_numpy()
    if isinstance(ids, np.ndarray) and ids.ndim > 1:
        raise ValueError(f"{name} must be one id, or have one axis, got shape {ids.shape}")
    if isinstance(ids, np.ndarray) and ids.ndim == 1:
        return ids, False
    if isinstance(ids, list | range):
        return list(ids), False
    return [ids.item() if isinstance(ids, np.ndarray | np.generic) else ids], True
