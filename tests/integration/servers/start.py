"""Start a server of this folder in a process of its own, wait until it answers, and stop it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


class Server:
    """A running server."""

    def __init__(self, port: int, n_items: int, certificate: Path | None = None, verify: ssl.SSLContext | bool = True):
        self.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"
        self._arguments = [str(port), str(n_items), *([] if certificate is None else [str(certificate)])]
        self._http = httpx.Client(verify=verify)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it anew, and wait."""
        self.kill()
        program = Path(__file__).with_name("recommender.py")
        self._process = subprocess.Popen([sys.executable, str(program), *self._arguments], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self._http.get(f"{self.url}/_seen", timeout=1)
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError("the server does not start")

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Kill it, and close what leads to it."""
        self.kill()
        self._http.close()

    def fault(self, kind: str = "", count: int = 0, **more: Any) -> None:
        """What goes wrong from now on; forgets what was seen. A server that died is started again."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        self._http.post(f"{self.url}/_fault", json={"kind": kind, "count": count, **more})

    def seen(self) -> dict[str, Any]:
        """What was asked since."""
        found: dict[str, Any] = self._http.get(f"{self.url}/_seen").json()
        return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(n_items: int, certificate: Path | None = None, verify: ssl.SSLContext | bool = True) -> Iterator[Server]:
    """A server for as long as the block lasts; over TLS with a certificate (and its key in the same file)."""
    server = Server(free_port(), n_items, certificate, verify)
    server.start()
    try:
        yield server
    finally:
        server.stop()
