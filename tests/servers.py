"""A server of files on this machine that can also lie, stall and break off, and the archives it has."""

import hashlib
import io
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

README = "Usage License: not for commercial purposes\n"
TITLES = "movieId,title,genres\n31,Dangerous Minds (1995),Drama\n"
RATINGS = "userId,movieId,rating,timestamp\n" + "".join(f"{u},31,2.5,1260759144\n" for u in range(1, 400))


def archive(folder="ml-latest-small", more=(), stored=False, **files):
    """The bytes of a zip file as of GroupLens; `ratings`, `titles`, `readme` replace text, None omits it."""
    content = {"ratings": RATINGS, "titles": TITLES, "readme": README, **files}
    names = {"ratings": "ratings.csv", "titles": "movies.csv", "readme": "README.txt"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as opened:
        opened.mkdir(folder)
        opened.writestr(f"{folder}/links.csv", "movieId,imdbId\n")
        for kind, text in content.items():
            if text is not None:
                opened.writestr(f"{folder}/{names[kind]}", text)
        for member, text in more:
            opened.writestr(member, text)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Files by name, behaviours for the next requests (a list, used up), and the requests that came."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files, self.behaviours, self.requests = {}, [], []
        self.closing = threading.Event()

    def handle_error(self, request, client_address):
        """A client that has gone is no error."""


@contextmanager
def serving():
    """A server that runs as long as the context."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers["Range"], self.headers["If-Range"]))
        (server.behaviours.pop(0) if server.behaviours else honest)(self)

    def log_message(self, *arguments):
        pass

    def reply(self, code, body, *, sent=None, **headers):
        """Answer with a body, of which the first `sent` bytes are sent."""
        self.send_response(code)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])
        self.wfile.flush()


def honest(handler, *, sent=None, **headers):
    """As a good server: ranges, and the whole where the file is no longer the one asked for."""
    body = handler.server.files.get(handler.path)
    if body is None:
        return handler.reply(404, b"no such file")
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:12]}"', **headers}
    asked, version = handler.headers["Range"], handler.headers["If-Range"]
    if not asked or version not in headers.values():
        return handler.reply(200, body, sent=sent, **headers)
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    where = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return handler.reply(206, body[start:], sent=sent, **{"Content_Range": where, **headers})


def without_ranges(handler):
    """The whole, whatever was asked for."""
    body = handler.server.files[handler.path]
    handler.reply(200, body, ETag='"1"')


def breaking_off(after, **headers):
    """Close the connection after so many bytes."""
    return lambda handler: honest(handler, sent=after, **headers)


def stalling(after):
    """Send so many bytes, then nothing until the server ends."""

    def behave(handler):
        honest(handler, sent=after)
        handler.server.closing.wait(60)

    return behave


def answering(code, body=b"<html>sorry</html>", **headers):
    """The same answer, whatever was asked for."""
    return lambda handler: handler.reply(code, body, **headers)
