"""Parts of Python that may be missing are asked for when they are used, and not before."""

from __future__ import annotations

import sys

from .support import children

WITHOUT_SSL = """
import sys
sys.modules["_ssl"] = sys.modules["ssl"] = None
import asyncio, pickle, socket
import aioconnect
from aioconnect import blocking, resolve, retry

async def main():
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        (await aioconnect.connect(host, port)).close()
        reader, writer = await aioconnect.open_connection(host, port)
        writer.close()
        try:
            await aioconnect.open_connection(host, port, ssl=True)
        except RuntimeError as error:
            print(error)
    try:
        await aioconnect.connect(host, port)
    except ConnectionRefusedError as error:
        print(type(pickle.loads(pickle.dumps(error))).__name__, error.code)
    print(aioconnect.TLSError.__mro__[2].__name__, OSError in aioconnect.TLSError.__mro__)
    try:
        await aioconnect.connect(host, port, address_policy=forbid)
    except OSError as error:
        print(type(error).__name__)

def forbid(endpoint):
    raise PermissionError

asyncio.run(main())
"""


def test_without_ssl_plain_connections_work() -> None:
    """As asyncio's do; TLS is refused before anything is opened."""
    done = children.run([sys.executable, "-W", "error", "-c", WITHOUT_SSL])
    assert done.stderr == ""
    refused, code, stands_for, denied = done.stdout.splitlines()
    assert refused == "ssl: this Python was built without the ssl module"
    assert code == "ConnectionRefused connection_refused"
    assert stands_for == "SSLError True"
    assert denied == "AccessDenied"
