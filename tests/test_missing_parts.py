"""Parts of Python that may be missing are asked for when they are used, and not before."""

from __future__ import annotations

import sys

from .support import children

WITHOUT_SSL = """
import sys
sys.modules["_ssl"] = sys.modules["ssl"] = None  # `import ssl` raises, as where it was not built
import asyncio, socket
import aioconnect, aioconnect.blocking

async def main():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as nobody:
        port = server.getsockname()[1]
        nobody.bind(("127.0.0.1", 0))
        (await aioconnect.connect("127.0.0.1", port)).close()
        _, writer = await aioconnect.open_connection("localhost", port)
        writer.close()
        await writer.wait_closed()
        try:
            await aioconnect.connect("127.0.0.1", nobody.getsockname()[1])
        except ConnectionRefusedError as error:
            print(error.code)
        try:
            await aioconnect.open_connection("127.0.0.1", port, ssl=True)
        except RuntimeError as error:
            print(error)
    assert issubclass(aioconnect.TLSError, aioconnect.ConnectError)
    assert issubclass(aioconnect.CertificateError, ValueError)

asyncio.run(main())
"""


def test_without_ssl_everything_but_tls_works() -> None:
    """On a Python that was built without OpenSSL; TLS is refused before anything is opened."""
    done = children.run([sys.executable, "-W", "error", "-c", WITHOUT_SSL])
    assert (done.stdout.splitlines()[0], done.stderr) == ("connection_refused", "")
    assert "ssl module" in done.stdout.splitlines()[1]


WITHOUT_POLL = """
import select
del select.poll, select.epoll  # as eventlet does
import asyncio, os, socket
import aioconnect, aioconnect.blocking
from tests.support.sockets import slow

async def main(port):
    (await aioconnect.connect("127.0.0.1", port, timeout=5)).close()
    (await aioconnect.connect("127.0.0.1", port, timeout=5, socket_factory=slow)).close()

with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    asyncio.run(main(port))
    aioconnect.blocking.connect(["127.0.0.1:1", f"127.0.0.1:{port}"]).close()
    before = os.listdir("/dev/fd")
    try:
        aioconnect.blocking.connect("127.0.0.1", port, timeout=5, socket_factory=slow)
    except RuntimeError as error:
        print(error)
    assert os.listdir("/dev/fd") == before
"""


def test_without_poll_a_loop_waits_and_a_blocking_call_says_what_it_lacks() -> None:
    """As eventlet leaves it: what connects at once needs none, and nothing is left open."""
    done = children.run([sys.executable, "-W", "error", "-c", WITHOUT_POLL])
    assert done.stderr == ""
    assert done.stdout.startswith("select.poll is missing, without which nothing can be waited for")
