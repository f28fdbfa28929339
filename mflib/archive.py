"""A few files out of a zip file that may be hostile."""

import errno
import shutil
import stat
import zipfile
from collections.abc import Collection
from pathlib import Path

from mflib.text import literal

# Files in an archive of GroupLens: ten at most.
_MOST_MEMBERS = 100


class ArchiveError(ValueError):
    """A file is not the archive that it should be."""


def unpack(archive: Path, folder: str, wanted: Collection[str], target: Path, largest: int) -> None:
    """Write the wanted files of the one folder that an archive holds; nothing else of it is ever written.

    Parameters
    ----------
    archive : Path
        A zip file.
    folder : str
        What it must hold: plain files in this folder, nothing beside, above or below it.
    wanted : collection of str
        Names of files in the folder.
    target : Path
        A folder that exists, where they are written.
    largest : int
        Bytes that the wanted files may have together.

    Raises
    ------
    ArchiveError
        Where it is no such archive, is damaged, or its files are larger than that.
    OSError
        Where a file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened.infolist(), folder, wanted)
            size = sum(member.file_size for member in members)
            if size > largest:
                raise ArchiveError(f"it unpacks to {size:,} bytes, expected at most {largest:,}")
            for member in members:
                # no more than file_size bytes are unpacked, and at their end the check sum must be right
                with opened.open(member) as source, open(target / Path(member.filename).name, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except ArchiveError:
        raise
    except (
        Exception
    ) as error:  # a damaged file makes zipfile raise what it likes, and seek to places before 0
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        with open(archive, "rb") as file:
            head = file.read(30)
        raise ArchiveError(
            f"it is no zip file, or is damaged ({error}); it begins with {literal(head)}"
        ) from None


def _checked(members, folder, wanted):
    """The wanted members, where all of them are as they should be."""
    if len(members) > _MOST_MEMBERS:
        raise ArchiveError(f"it holds {len(members)} files, expected at most {_MOST_MEMBERS}")
    found = {}
    for member in members:
        name = member.orig_filename  # zipfile changes backslashes and cuts at a NUL
        place, _, plain = name.partition("/")
        if place != folder or "/" in plain or "\\" in plain or "\0" in plain or plain in (".", ".."):
            raise ArchiveError(f"it holds {literal(name)}, expected files in {folder}/ alone")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG if plain else stat.S_IFDIR):
            raise ArchiveError(f"it holds {literal(name)}, which is a link or something else that is no file")
        if plain in found:
            raise ArchiveError(f"it holds {literal(name)} twice")
        if plain in wanted and member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"{literal(name)} is compressed in a way that can fill the memory")
        found[plain] = member
    if missing := [name for name in wanted if name not in found]:
        raise ArchiveError(f"it lacks {', '.join(f'{folder}/{name}' for name in missing)}")
    return [found[name] for name in wanted]
