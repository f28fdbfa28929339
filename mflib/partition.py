"""Ratings from many parts into blocks of users, by tasks on Dask workers (`parts`, `joining`).

Parts are split into bins of users, distinct items merged along a tree, bins cut into blocks, and each block
joined from all parts. Tasks leave files and return little, so nobody holds more than a part or a block, and
what a dead worker did is done again by another, with the same bytes.
"""

import glob
import json
import os
from concurrent.futures import CancelledError
from contextlib import suppress

import numpy as np

from mflib import (
    blocked_ratings,
    blocks,
    checks,
    joining,
    labels,
    parts,
    readers,
    recovery,
    versions,
    waiting,
)
from mflib.blocked_ratings import RatingBlocks
from mflib.folders import NewFolder

# Files of distinct items that are merged at a time.
BRANCHES = 8
# What decides the bits of labels and of their files, beside mflib, NumPy and Numba.
ARROW = "pandas", "pyarrow"
# Where workers have no memory for their tasks.
ADVICE = "give smaller parts, more blocks, or workers with more memory"


def partition(
    source,
    folder,
    *,
    client,
    user="userId",
    item="movieId",
    rating="rating",
    time=None,
    dtype=None,
    n_blocks=None,
    like=None,
    unknown="error",
):
    """Ratings of a Dask DataFrame, or of Parquet or CSV files, into blocks of users, by workers.

    No process ever holds all ratings: a worker holds a part or a block, this process the labels of items.
    The labels of a user alone say in which block it is, so a block has the same bits however the rows were
    parted, on however many workers, and whoever of them died.

    Parameters
    ----------
    source : dask.dataframe.DataFrame, str, path, or list of str or path
        One row a rating. A file, several, a pattern such as "ratings/*.parquet", or a folder of such; names
        that end on .parquet are read as Parquet, others as `Ratings.from_csv` reads them. A file is a part:
        for parts of large files, and for URLs, give what `dask.dataframe.read_parquet` returns.
    folder : str or path
        To be made, where this process and all workers see it: a shared one, but on a single machine. It needs
        twice the room of the blocks, 16 bytes a rating with float32, until all is done.
    client : distributed.Client
    user, item, rating : str
        Names of the columns. Labels are whole numbers of 64 bits or text.
    time : str, optional
    dtype : dtype, optional
        float32 or float64, of the values kept. By default float32 stays, everything else becomes float64.
    n_blocks : int, optional
        As for `cluster.descend`: by default a power of two, eight million ratings at most in each.
    like : RatingBlocks, optional
        Training ratings, whose users, items and blocks these are to have: for validation.
    unknown : {"error", "drop"}
        What is done with ratings whose user or item `like` does not have.

    Returns
    -------
    RatingBlocks

    Raises
    ------
    FileExistsError
        Where the folder is there and not empty.
    TypeError, ValueError
        Where a part is missing, cut short, lacks a column or has it twice, a rating is no finite number, a
        label is missing or of another kind than in other parts, a (user, item) pair comes twice, be it in two
        parts, or there is no rating at all. The message names the part and the row, or the labels.
    OSError
        Where a file of the folder cannot be written, or workers do not see it, or the scheduler is gone.
    ConnectionError
        Where no worker is there for a minute.
    MemoryError
        Where workers die again and again, or Dask keeps them paused for a minute.
    RuntimeError
        Where a worker's versions of mflib, NumPy, Numba, pandas or pyarrow are not those of this process.

    Notes
    -----
    The ratings are written twice: by part, then in blocks. The folder gets its name when it is complete; what
    a client leaves that is killed is in one beside it, named `.NAME.` and some letters.

    Examples
    --------
    >>> from mflib import cluster  # doctest: +SKIP
    >>> ratings = cluster.partition("ratings/*.parquet", "/shared/blocks", client=client)  # doctest: +SKIP
    >>> U, V = cluster.random_factors(ratings, n_factors=20, client=client)  # doctest: +SKIP
    >>> result = cluster.descend(ratings, U, V, client=client)  # doctest: +SKIP
    """
    names = parts.Names(user, item, rating, time)
    dtype = None if dtype is None else str(checks.float_dtype("dtype", dtype))
    checks.choice("unknown", unknown, ("error", "drop"))
    if like is not None:
        if not isinstance(like, RatingBlocks):
            raise TypeError(
                f"like must be RatingBlocks, got {type(like).__name__}: open them with open_blocks"
            )
        if n_blocks is not None:
            raise ValueError("with like= the blocks are those of the training ratings: leave n_blocks out")
    n_blocks = None if n_blocks is None else checks.whole_number("n_blocks", n_blocks, 1)
    tasks, part_names = _tasks(source, names)
    with NewFolder(folder) as made:
        job = _Job(client, made.partial)
        summaries = job.split(tasks, part_names, names, dtype)
        root, bins = job.merge([p for p, summary in enumerate(summaries) if summary is not None])
        cut = blocks.cut(np.concatenate(([0], np.cumsum(bins))), n_blocks) if like is None else like.user_bins
        manifest = job.join(summaries, root, cut, like, unknown)
        with open(os.path.join(made.partial, blocked_ratings.MANIFEST), "x", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
        # not what is of parts, nor of writers that were killed
        made.complete(lambda name: name.startswith(("block-", "users-", "items.", "manifest.")))
    return blocked_ratings.open_blocks(folder)


def _tasks(source, names):
    """For each part, the function that splits it and what it splits; and the names of the parts."""
    if hasattr(source, "to_delayed") and hasattr(source, "columns"):
        names.among(source.columns, "the frame")
        found = source.to_delayed()
        return [(parts.split_frame, part) for part in found], [
            f"part {p} of the frame" for p in range(len(found))
        ]
    if not isinstance(source, str | os.PathLike | list | tuple):
        raise TypeError(
            f"source must be a Dask DataFrame or paths, got {type(source).__name__}: "
            "dask.dataframe.from_pandas makes one of a pandas DataFrame"
        )
    found = [
        os.path.abspath(readers.existing_file(path, "of Parquet or CSV"))
        for given in (source if isinstance(source, list | tuple) else [source])
        for path in _files(os.fspath(given))
    ]
    if not found:
        raise ValueError("source names no file at all: give one at least")
    return [(parts.split_file, path) for path in found], found


def _paths(task):
    """The files that a task of Dask names."""
    if isinstance(task, str):
        return [task] if parts.is_parquet(task) else []
    held = [*getattr(task, "args", ()), *getattr(task, "kwargs", {}).values()]
    held += task.values() if isinstance(task, dict) else task if isinstance(task, list | tuple) else []
    return [path for one in held for path in _paths(one)]


def _files(path):
    """The files that a path stands for: a file, a folder of such, or a pattern."""
    if os.path.isdir(path):
        names = (name for name in os.listdir(path) if name.endswith((*parts.PARQUET, ".csv", ".csv.gz")))
        found = [os.path.join(path, name) for name in sorted(names)]
        if not found:
            raise FileNotFoundError(
                f"{path} holds no file that ends on {', '.join(parts.PARQUET)}, .csv or .csv.gz"
            )
        return found
    if glob.has_magic(path) and not os.path.exists(path):
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise FileNotFoundError(f"no file is named as the pattern {path} says")
        return found
    return [path]


class _Job:
    """The steps of one partition, as tasks of a client."""

    def __init__(self, client, folder):
        recovery.ready(client, *ARROW)
        self.client, self.folder, self.versions = client, folder, versions.installed(*ARROW)

    def _gathered(self, futures, wrong=None):
        """The results of all; an error cancels the others. `wrong(task, error)` may find better words."""
        from distributed import KilledWorker

        try:
            return waiting.gathered(self.client, futures)
        except waiting.Paused as error:
            raise MemoryError(f"{error}: {ADVICE}") from error
        except KilledWorker as error:
            raise MemoryError(f"workers die at a part or a block ({error}): {ADVICE}") from None
        except CancelledError as error:  # no worker takes anything with it
            raise ConnectionError("the scheduler is gone, or ended the tasks: partition anew") from error
        except versions.OtherVersions:
            versions.check(self.client, *ARROW)
            raise
        except Exception as error:
            if wrong is not None:
                wrong(futures, error)
            raise
        finally:
            with suppress(Exception):  # of a scheduler that is gone
                self.client.cancel(futures)

    def _map(self, function, *columns):
        """The results of a function for each row of columns."""
        rows = zip(*columns, strict=True)
        return self._gathered(
            [self.client.submit(versions.checked, self.versions, function, *row, pure=False) for row in rows]
        )

    def split(self, tasks, part_names, names, dtype):
        """Split all parts; the Summary of each, None of one without a row."""
        from dask import delayed

        def wrong(futures, error):
            """Say of which part an error is that was raised before a part came to us."""
            if isinstance(error, parts.PartError | parts.FolderError | FileNotFoundError):
                return
            for future, name, (_, part) in zip(futures, part_names, tasks, strict=True):
                if future.status == "error":
                    by_name = isinstance(part, str)  # a file, which the name of the part is
                    paths = [] if by_name else _paths(part.__dask_graph__()[part.key])
                    of = ", ".join(dict.fromkeys(paths))
                    raise parts.PartError(
                        f"{name} cannot be read ({type(error).__name__}: {error}){of and f': {of}'}"
                    ) from error

        found = [
            delayed(versions.checked, pure=False)(
                *(self.versions, function, part, name, number, names, dtype, self.folder)
            )
            for number, ((function, part), name) in enumerate(zip(tasks, part_names, strict=True))
        ]
        summaries = self._gathered(self.client.compute(found), wrong)
        there = [
            (name, summary)
            for name, summary in zip(part_names, summaries, strict=True)
            if summary is not None
        ]
        if not there:
            raise ValueError("there is no rating at all: at least one is needed")
        for axis in ("users", "items", "times"):
            first, kind = there[0][0], getattr(there[0][1], axis)
            for name, summary in there:
                if getattr(summary, axis) != kind:
                    raise ValueError(
                        f"the {axis} are {kind} in {first} and {getattr(summary, axis)} in {name}: "
                        "make them of one kind in all parts"
                    )
        return summaries

    def merge(self, numbers):
        """Merge the distinct items of all parts; their file, and the number of ratings of each bin."""
        files = [parts.file_of(self.folder, "part", number) for number in numbers]
        root = self._tree(joining.merge, files, "merged")
        return root, parts.read(root)[1]["counts"]

    def _tree(self, function, files, kind):
        """The file that is left when function(files, target) has made one of some, and so on."""
        level = 0
        while len(files) > 1 or level == 0:
            groups = [files[place : place + BRANCHES] for place in range(0, len(files), BRANCHES)]
            files = [parts.file_of(self.folder, f"{kind}-{level}", g) for g in range(len(groups))]
            self._map(function, groups, files)
            level += 1
        return files[0]

    def join(self, summaries, root, cut, like, unknown):
        """Join the blocks from all parts, and write what is of all items; the manifest."""
        there = [number for number, summary in enumerate(summaries) if summary is not None]
        items = root if like is None else os.path.join(like.folder, blocked_ratings.ITEMS)
        self._map(joining.place_items, [self.folder] * len(there), there, [items] * len(there))
        plan = joining.Plan(
            self.folder, there, items, str(np.result_type(*(summaries[p].values for p in there))),
            None if like is None else like.folder,
        )  # fmt: skip
        n_blocks = len(cut) - 1
        found = self._map(joining.join, [plan] * n_blocks, range(n_blocks), cut[:-1], cut[1:])
        n_unknown = sum(block.pop("n_unknown") for block in found)
        examples = [example for block in found for example in block.pop("unknown")]
        if n_unknown and unknown == "error":
            raise ValueError(
                f"{n_unknown} ratings are of users or items that like= does not have, such as "
                f"{'; '.join(examples[: joining.EXAMPLES])}: leave them out, or say unknown='drop'"
            )
        if not sum(block["n_ratings"] for block in found):
            raise ValueError("no rating is left: all are of users or items that like= does not have")
        return {
            "format": blocked_ratings.FORMAT,
            "dtype": plan.dtype,
            "items": self._count_items(items, [b for b, block in enumerate(found) if block["n_ratings"]]),
            "bins": [int(edge) for edge in cut],
            "like": None if like is None else like.digest,
            "blocks": found,
        }

    def _count_items(self, items, numbers):
        """Write the labels of items and their numbers of ratings; their digest."""
        files = [parts.file_of(self.folder, "block", number) for number in numbers]
        counts = np.array(parts.read(self._tree(joining.count_items, files, "counted"))[1]["counts"])
        labels_of_items = labels.of_arrays("items", parts.read(items)[1])
        return joining.write_items(os.path.join(self.folder, blocked_ratings.ITEMS), labels_of_items, counts)
