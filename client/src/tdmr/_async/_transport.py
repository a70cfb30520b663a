"""Requests: the key, retries, problems as exceptions."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tdmr import _version
from tdmr._async import _io
from tdmr._config import Config
from tdmr._logging import logger
from tdmr._retry import SAFE_METHODS, Retries, wait_after_answer, wait_after_error
from tdmr.errors import APIError, ConnectionFailed, TdmrError, TimedOut, from_response, not_ours

Params = Mapping[str, Any]


class AsyncTransport:
    """One service, spoken to with one key."""

    def __init__(self, config: Config, http: httpx2.AsyncClient, retries: Retries, patience: float) -> None:
        self.config, self.retries, self.patience = config, retries, patience
        self._http = http
        self._headers = {"User-Agent": f"tdmr-client/{_version.VERSION}"}
        if config.api_key:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        self._reached = False

    async def close(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = False,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx2.Response:
        """The answer, read. A request is repeated where it cannot have been carried out, or where that does no harm.

        Args:
            repeatable: it does no harm twice. What only reads never does; a POST with an idempotency key that the
                service honours does not either.

        Raises:
            TdmrError: the service could not be reached, or answered with a problem.
        """
        repeatable = repeatable or method in SAFE_METHODS or method == "DELETE"
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        attempt = 0
        while True:
            try:
                response = await self.once(method, path, headers=sent, **options)
            except httpx2.TransportError as error:
                wait = wait_after_error(error, attempt, repeatable=repeatable)
                refused = isinstance(error, httpx2.ConnectError) and not self._reached
                if wait is None or attempt >= (self.retries.unreached if refused else self.retries.most):
                    raise self.away(error) from error
                logger.info("%s %s: %s; again in %.1f s", method, path, type(error).__name__, wait)
            else:
                if response.is_success or response.status_code == httpx2.codes.NOT_MODIFIED:
                    return response
                if method == "DELETE" and attempt and response.status_code == httpx2.codes.NOT_FOUND:
                    return response  # the attempt whose answer was lost has deleted it
                failure = from_response(response)
                code = failure.code if isinstance(failure, APIError) else None
                wait = wait_after_answer(response, code, attempt, repeatable=repeatable)
                if wait is None or attempt >= self.retries.most:
                    raise failure
                logger.info("%s %s: %s; again in %.1f s", method, path, code or response.status_code, wait)
            attempt += 1
            await _io.sleep(wait)

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON, of a `request`.

        Raises:
            Unexpected: it has none: something else answers at this address.
        """
        response = await self.request(method, path, **options)
        try:
            return response.json()
        except ValueError:
            raise not_ours(response) from None

    async def once(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        """The answer, read, whatever it is.

        Raises:
            httpx2.TransportError: there is none.
        """
        async with self._answer(method, path, headers, options) as response:
            await response.aread()
            return response

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a GET, to be read in pieces. The body of an error has been read.

        Raises:
            httpx2.TransportError: there is none, or it breaks off.
        """
        async with self._answer("GET", path, headers, options) as response:
            if not response.is_success:
                await response.aread()
            yield response

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str] | None, options: Mapping[str, Any]
    ) -> AsyncIterator[httpx2.Response]:
        began = time.monotonic()
        url = f"{self.config.base_url}{path}"
        async with self._http.stream(method, url, headers={**self._headers, **(headers or {})}, **options) as response:
            self._reached = True
            request_id = response.headers.get("X-Request-ID", "-")
            seconds = time.monotonic() - began
            logger.debug("%s %s: %d in %.3f s (%s)", method, path, response.status_code, seconds, request_id)
            yield response

    def away(self, error: Exception) -> TdmrError:
        """The exception for a service that does not answer."""
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return TimedOut(f"{self.config.base_url} did not answer in time.")
        failed = ConnectionFailed(f"{self.config.base_url} cannot be reached: {error or type(error).__name__}.")
        failed.hint = "`tdmr up` starts a service on this machine; TDMR_BASE_URL or `tdmr login` names another one."
        return failed
