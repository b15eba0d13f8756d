"""One request after another to a server that may be slow, busy, wrong or hostile."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from robust.errors import EndpointFault
from robust.recommenders.adapters.http.ledger import Ledger
from robust.recommenders.adapters.http.redaction import Credentials, bare_url, quieten, shown_url

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that a second try may mend."""
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is taken to have refused."""


@dataclass(frozen=True)
class Manners:
    """How a server is treated.

    Attributes:
        timeout: seconds for a whole request, so that a trickle is a stall. retries: further tries after the first.
        backoff: seconds before the second try; doubled each time, and drawn between half and all of it.
        max_bytes: of an answer, unpacked.
    """

    timeout: float
    retries: int
    backoff: float
    max_bytes: int


class _Passing(Exception):
    """A fault that may pass; `after` is what the server asked us to wait."""

    def __init__(self, said: str, after: float = 0.0) -> None:
        super().__init__(said)
        self.after = after


class Client:
    """Requests to one endpoint, from one event loop.

    Args:
        url: the address of the server. verify: the file with the authority that signed its certificate, or True.
        rng: draws the jitter of waits.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        credentials: Credentials,
        manners: Manners,
        ledger: Ledger,
        concurrency: int,
        verify: Any,
        rng: np.random.Generator,
    ) -> None:
        quieten()
        self.name, self._credentials, self._manners = shown_url(url), credentials, manners
        self._ledger, self._rng, self.concurrency = ledger, rng, concurrency
        self._down = False
        self._turn = asyncio.Semaphore(concurrency)
        self._http = httpx.AsyncClient(
            headers={"Accept": "application/json", **headers, **credentials.headers},
            timeout=httpx.Timeout(manners.timeout),
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            verify=verify,
            follow_redirects=False,
        )
        self._base = httpx.URL(bare_url(url))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, path: str, body: Any = None, sequences: int = 0) -> Any:
        """The parsed answer to a POST of `body`, or to a GET where there is none.

        Args:
            path: what follows the address. sequences: how many queries this counts as.

        Raises:
            QueriesSpent: the budget does not allow it.
            EndpointFault: the server did not answer, or not with JSON, after all tries.
        """
        async with self._turn:
            tries = 1 if self._down else 1 + self._manners.retries  # once it was given up, no call waits long again
            said = ""
            for attempt in range(tries):
                await asyncio.sleep(self._ledger.reserve(sequences) if body is not None else 0)
                started = time.monotonic()
                try:
                    answer = await self._once(path, body)
                except _Passing as fault:
                    said = str(fault)
                    wait = self._manners.backoff * 2**attempt * (0.5 + 0.5 * self._rng.random())
                    if fault.after > LONGEST_WAIT:
                        said += f", and asked us to wait {fault.after:.0f} s"
                        break
                    if fault.after:
                        self._ledger.hold(fault.after)  # for the other workers too
                    if attempt + 1 < tries:
                        await asyncio.sleep(max(wait, fault.after))
                else:
                    self._down = False
                    if sequences:
                        self._ledger.answered(sequences, time.monotonic() - started)
                    return answer
            self._down = True
        times = "once" if tries == 1 else f"{tries} times"
        raise EndpointFault(f"The endpoint {self.name} {said} (tried {times}).")

    def fault(self, said: str) -> EndpointFault:
        """What a server did wrong, as an error that names it and no secret."""
        return EndpointFault(f"The endpoint {self.name} {self._credentials.clean(said)}.")

    async def _once(self, path: str, body: Any) -> Any:
        address = self._base.copy_with(path=self._base.path.rstrip("/") + path) if path else self._base
        method = "GET" if body is None else "POST"
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(self._manners.timeout):
                async with self._http.stream(method, address, content=content, headers=headers) as response:
                    return await self._read(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _Passing(f"did not answer within {self._manners.timeout:g} s") from error
        except httpx.TransportError as error:
            kind = (
                "refused the connection or cannot be reached" if isinstance(error, httpx.ConnectError) else "broke off"
            )
            raise _Passing(f"{kind} ({self._credentials.clean(f'{type(error).__name__}: {error}')})") from error
        except httpx.DecodingError as error:
            raise self.fault("answered with a body that cannot be unpacked") from error

    async def _read(self, response: httpx.Response) -> Any:
        status = f"{response.status_code} {response.reason_phrase}".strip()
        if response.is_redirect:
            place = shown_url(response.headers.get("Location", ""))
            raise self.fault(f"redirects ({status}) to '{place}'; redirects are not followed, so give the final url")
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self._manners.max_bytes:
                raise self.fault(f"answered with more than max_bytes = {self._manners.max_bytes:,} bytes")
            parts.append(part)
        data = b"".join(parts)
        text = data[:2000].decode("utf-8", errors="replace")
        if response.status_code in PASSING:
            raise _Passing(
                f"answered {self._credentials.clean(f'{status}: {text}')}", wanted(response.headers.get("Retry-After"))
            )
        if response.status_code != 200:
            mend = "; token_env names the variable with the token" if response.status_code in (401, 403) else ""
            raise self.fault(f"answered {status}: {self._credentials.clean(text)}{mend}")
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            kind = self._credentials.clean(response.headers.get("Content-Type", "no content type"))
            said = f"answered no JSON but {kind}, beginning '{self._credentials.clean(text)[:60]}'"
            raise _Passing(said) from None


def wanted(header: str | None) -> float:
    """Seconds that a Retry-After header asks for (a number or a date); 0 where it asks for nothing that can be read."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header.strip()[:12])
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(date.timestamp() - time.time(), 0.0)
