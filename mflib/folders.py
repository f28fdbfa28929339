"""A folder that is made under another name beside its own, which it gets when it is complete."""

import os
import shutil
import uuid


class NewFolder:
    """A folder to be filled behind `with`; what is not complete at the end of that is deleted.

    Parameters
    ----------
    path : str or path
        Its name, which nothing may have but an empty folder.

    Attributes
    ----------
    partial : str
        Where to write until `complete` is called.

    Raises
    ------
    FileExistsError
        Where something is there.
    """

    def __init__(self, path):
        self.path = os.path.abspath(os.fspath(path))
        if os.path.lexists(self.path) and not (os.path.isdir(self.path) and not os.listdir(self.path)):
            raise FileExistsError(f"{self.path} is there and not empty: give another folder, or delete it")
        above, name = os.path.split(self.path)
        self.partial = os.path.join(above, f".{name}.{uuid.uuid4().hex}")

    def __enter__(self):
        os.makedirs(self.partial)
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.partial, ignore_errors=True)

    def complete(self, keep):
        """Delete the files whose names `keep` denies, and give the folder its own name."""
        for name in os.listdir(self.partial):
            if not keep(name):
                os.unlink(os.path.join(self.partial, name))
        os.rename(self.partial, self.path)
