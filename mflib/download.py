"""One file from a server: continued after an interruption, checked by size and digest, never half there."""

import hashlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from mflib.text import shown

TIMEOUT = 30  # seconds without a single byte, after which a server is taken for gone
PAUSES = (1, 2, 4)  # seconds before each of the further tries
_BLOCK = 1 << 16
_AGAIN = {408, 429, 500, 502, 503, 504}  # of these a server may recover


class DownloadError(OSError):
    """A file could not be fetched, or is not what it should be; the message says which and why."""


class _Broken(Exception):
    """The connection or the server failed in a way that may be over at the next try."""


def checked_address(name: str, url: str) -> str:
    """Check that what is fetched from an address cannot be changed on the way.

    Parameters
    ----------
    name : str
        What gave the address, for the message.
    url : str
        `https://…`, or `http://…` on this machine itself.

    Returns
    -------
    str
        The address, without a slash at its end.

    Raises
    ------
    ValueError
        Where it is no such address, or holds a user or a password.

    Examples
    --------
    >>> checked_address("MIRROR", "http://127.0.0.1:8000/data/")
    'http://127.0.0.1:8000/data'
    """
    try:
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and _on_this_machine(parts.hostname))
        safe = safe and parts.hostname and parts.port != 0 and not (parts.query or parts.fragment)
        safe = safe and url.isascii() and url.isprintable() and " " not in url
    except ValueError:  # no number for a port, or half a bracket
        safe = False
    if not safe:
        raise ValueError(f"{name} must be an address https://… (http://… on this machine), got {shown(url)}")
    if "@" in parts.netloc:
        raise ValueError(f"{name} must hold no user and no password: only public addresses are fetched")
    return url.rstrip("/")


def _on_this_machine(host):
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fetch(url: str, path: Path, largest: int, md5: str | None = None, progress: bool | None = None) -> None:
    """Download a file. What an interruption left in `PATH.part` is continued if the file is still that.

    Parameters
    ----------
    url : str
        As `checked_address` lets it pass; a redirection to another server is not followed.
    path : Path
        In a folder that exists. The file has this name only when it is complete; one process at a time.
    largest : int
        Bytes; a file that is announced as larger is refused before any of it is read.
    md5 : str, optional
        The digest of the file, in hexadecimal digits.
    progress : bool, optional
        Whether to show a bar; by default where standard error is a terminal.

    Raises
    ------
    DownloadError
        Where there is no connection, the server answers with an error, sends other than it announced, or the
        digest is another, after a few tries where that may help; or where the file cannot be written.
    """
    part = _Part(path, url)
    try:
        while True:
            continued = _complete(part, largest, progress)
            if md5 is None or (found := part.md5()) == md5:
                break
            part.begin(None, 0)
            if not continued:
                raise DownloadError(f"{url} has the MD5 digest {found}, expected {md5}: not the file it was")
        part.finish()
    except DownloadError:
        raise
    except OSError as error:  # network errors do not come this far
        raise DownloadError(
            f"{part.path} cannot be written: {error.strerror or error}; what is there is continued next time"
        ) from error


class _Part:
    """The part of a file that is there, and beside it of which version of which file it is."""

    def __init__(self, path, url):
        self.whole, self.url = path, url
        self.path = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")

    def state(self):
        """(bytes that are there, bytes of the whole, what names its version); zeros where it is of no use."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            size, version, there = note["size"], note["version"], self.path.stat().st_size
            if note["url"] == self.url and version and there <= size:
                return there, size, version
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # killed while it was written
            pass
        return 0, 0, None

    def begin(self, version, size):
        """Forget what is there: a new file of this version follows."""
        self.path.unlink(missing_ok=True)
        self._note.write_text(
            json.dumps({"url": self.url, "version": version, "size": size}), encoding="utf-8"
        )

    def md5(self):
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def finish(self):
        os.replace(self.path, self.whole)
        self._note.unlink()


def _complete(part, largest, progress):
    """Fetch what is missing, with a few tries, and return whether something that was there was continued."""
    continued = False
    for pause in (*PAUSES, None):
        continued = part.state()[0] > 0
        try:
            _receive(part, largest, progress)
            return continued
        except _Broken as error:
            if pause is None:
                raise DownloadError(
                    f"{part.url}: {error}, tried {len(PAUSES) + 1} times; the next call goes on from there"
                ) from error
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _receive(part, largest, progress):
    """One request, for what is missing."""
    there, size, version = part.state()
    if version and there == size:
        return
    asked = {"Range": f"bytes={there}-", "If-Range": version} if there else {}
    try:
        response = _open(part.url, asked)
    except urllib.error.HTTPError as error:
        error.close()
        if there and error.code in (412, 416):
            part.begin(None, 0)
            raise _Broken("it refuses to continue") from error
        if error.code in _AGAIN:
            raise _Broken(f"it answers {error.code} {shown(error.reason)}") from error
        raise DownloadError(f"{part.url} answers {error.code} {shown(error.reason)}") from error
    except DownloadError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _failure(part.url, error) from error
    with response:
        if response.status == 206:
            if not there or response.headers.get("Content-Range") != f"bytes {there}-{size - 1}/{size}":
                part.begin(None, 0)
                raise _Broken("it continues elsewhere than asked")
        elif response.status == 200:  # from the beginning: it has changed, or the server knows no ranges
            there, size = 0, _announced(part.url, response, largest)
            part.begin(_version(response.headers), size)
        else:
            raise DownloadError(f"{part.url} answers {response.status} {shown(response.reason)}")
        _append(part, response, there, size, progress)


def _append(part, response, there, size, progress):
    """Write what comes to the end of the part."""
    from tqdm import tqdm

    hidden = None if progress is None else not progress  # None: where it is no terminal
    name = part.whole.name
    with (
        open(part.path, "ab") as file,
        tqdm(desc=name, total=size, initial=there, unit="B", unit_scale=True, disable=hidden) as bar,
    ):
        while there < size:
            try:
                block = response.read1(min(_BLOCK, size - there))
            except (OSError, http.client.HTTPException) as error:
                raise _failure(part.url, error) from error
            if not block:
                raise _Broken(f"the connection broke off after {there:,} of {size:,} bytes")
            file.write(block)
            file.flush()  # a process that is killed has kept it
            there += len(block)
            bar.update(len(block))


def _open(url, headers):
    """The answer to a request; urllib speaks HTTP/1.1 without compression."""
    handlers = [_SameServer]
    if _on_this_machine(urlsplit(url).hostname):
        handlers.append(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"User-Agent": "mflib", **headers})
    return urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT)


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows a redirection within a server alone: elsewhere it is not known who answers."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            fp.close()
            raise DownloadError(f"{req.full_url} leads to another server, {shown(newurl)}: not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _announced(url, response, largest):
    """How many bytes will come."""
    size = response.headers.get("Content-Length", "")
    if not (size.isascii() and size.isdecimal()):
        raise DownloadError(f"{url}: the server does not say how large the file is")
    if len(size) > 15 or int(size) > largest:
        raise DownloadError(f"{url} is announced as {shown(size)} bytes, expected at most {largest:,}")
    return int(size)


def _version(headers):
    """What names a version of a file for good; a weak tag (W/…) does not."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _failure(url, error):
    """The exception for a failure on the way: may it help to try again?"""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadError(
            f"{url}: the certificate of the server is not accepted ({reason.verify_message})"
        )
    if isinstance(reason, TimeoutError):
        return _Broken(f"nothing has come for {TIMEOUT} seconds")
    if isinstance(reason, ConnectionError | ssl.SSLError | http.client.HTTPException):
        return _Broken(f"the connection broke off ({shown(reason) or type(reason).__name__})")
    if isinstance(reason, socket.gaierror):
        return DownloadError(f"{url}: without a network, the server is not found ({reason.strerror})")
    return DownloadError(f"{url} cannot be reached ({shown(reason)})")
