"""The address of a Dask scheduler and Dask's settings of TLS, looked at before Dask stumbles over them."""

import asyncio
import ssl

from distributed import Security
from distributed.comm import connect
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.core import FatalCommClosedError
from distributed.comm.registry import backends

from mflib.runs.project import InputError
from mflib.text import first_line

ANSWER = 5  # s for a scheduler to answer
PRINTED = "give the address of a scheduler, as `mflib cluster` prints it"
_PEM = "give the path of a PEM file, as docs/cluster/tls.yaml does"


def look(address: str) -> None:
    """See that an address is one, and that a scheduler of Dask answers there.

    Dask itself waits without end for the first word of whoever listens there.

    Parameters
    ----------
    address : str
        As a person gave it.

    Raises
    ------
    InputError
        If not, with what is there instead; or if Dask's settings of TLS are wrong.
    """
    try:
        scheme, place = parse_address(address)
        host, port = parse_host_port(place)
    except ValueError:
        scheme, host, port = "", "", 0
    if scheme == "inproc" or scheme not in backends or not host.strip() or not 0 < port < 65536:
        raise InputError(f"expected tcp://HOST:PORT or tls://HOST:PORT; {PRINTED}")
    see_tls("client", needed=scheme in ("tls", "wss"))
    try:
        kind = asyncio.run(asyncio.wait_for(_kind(address), ANSWER))
    except (FatalCommClosedError, RuntimeError) as error:  # TLS is refused, or required
        raise InputError(f"{first_line(error)}; {PRINTED}") from None
    except OSError:  # TimeoutError too
        raise InputError(f"no scheduler of Dask answers there within {ANSWER} s; {PRINTED}") from None
    except Exception:  # what it says means nothing to Dask
        kind = None
    if kind != "Scheduler":
        who = f"a {kind.lower()} of Dask, not its scheduler," if kind else "something else than Dask"
        raise InputError(f"{who} answers there; {PRINTED}")


async def _kind(address: str) -> str | None:
    """What a server of Dask says that it is."""
    comm = await connect(address, timeout=ANSWER, **Security().get_connection_args("client"))
    try:
        await comm.write({"op": "identity"})
        return (await comm.read())["type"]
    finally:
        comm.abort()


def see_tls(*roles: str, needed: bool | None = None) -> None:
    """See that the files are there and good that Dask's settings of TLS name for these roles.

    Parameters
    ----------
    *roles : {"client", "scheduler", "worker"}
    needed : bool, optional
        Whether there must be such settings; by default where Dask's settings require encryption.

    Raises
    ------
    InputError
        If not, with the setting and the file.
    """
    try:
        security = Security()
    except ValueError as error:  # it names the setting
        raise InputError(first_line(error)) from None
    needed = security.require_encryption if needed is None else needed
    for role in roles:
        found = security.get_tls_config_for_role(role)
        files = {"ca-file": found["ca_file"], f"{role}.cert": found["cert"], f"{role}.key": found["key"]}
        for name, path in files.items():
            _see_file(f"distributed.comm.tls.{name}", path, needed and name != f"{role}.key")
        if found["ca_file"] and found["cert"]:
            _see_content(security, role, files)


def _see_file(setting: str, path: str | None, needed: bool) -> None:
    """That a file can be read; text of several lines is a certificate itself."""
    if not path:
        if needed:
            raise InputError(f"Dask's setting {setting} is missing, without which there is no TLS: {_PEM}")
    elif "\n" not in path:
        try:
            open(path, "rb").close()
        except OSError as error:
            raise InputError(f"Dask's setting {setting} is {path}: {error.strerror}; {_PEM}") from None


def _see_content(security: Security, role: str, files: dict[str, str | None]) -> None:
    """That certificates and keys are such, and fit."""
    (_, ca), *own = files.items()
    try:
        ssl.create_default_context(**{"cadata" if "\n" in ca else "cafile": ca})
    except (ssl.SSLError, ValueError) as error:
        what = "" if "\n" in ca else f" is {ca}"
        raise InputError(
            f"Dask's setting distributed.comm.tls.ca-file{what}: no certificate ({first_line(error)}); {_PEM}"
        ) from None
    try:
        security.get_connection_args(role)
    except (ssl.SSLError, OSError, ValueError) as error:
        named = ", ".join(f"{name} is {path}" for name, path in own if path and "\n" not in path)
        raise InputError(
            f"Dask's settings distributed.comm.tls: {named}: no certificate and key that fit "
            f"({first_line(error)}); {_PEM}"
        ) from None
