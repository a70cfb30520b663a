"""The client itself."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import httpx2

from tdmr import models
from tdmr._async._transport import AsyncTransport
from tdmr._async.access import AsyncAudit, AsyncKeys
from tdmr._async.catalog import AsyncStudents, AsyncTeachers
from tdmr._async.datasets import AsyncDatasets
from tdmr._async.jobs import AsyncJobs
from tdmr._async.webhooks import AsyncWebhooks
from tdmr._bound import parse
from tdmr._config import find_config
from tdmr._logging import configure_from_environment
from tdmr._retry import Retries

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncTdmr:
    """A client of one tdmr service. Use it in a `with` block, or `close` it; one serves any number of calls at once.

    Args:
        base_url: the service's address. Else TDMR_BASE_URL, what `tdmr login` saved, or http://127.0.0.1:8000.
        api_key: else TDMR_API_KEY, or what `tdmr login` saved for this address. A service on loopback needs none.
        timeout: seconds that the service may take to begin its answer.
        max_retries: repetitions of a request that failed, where that does no harm. They are spread over a minute.
        patience: seconds for which uploads, downloads and streams put up with a service that is away.
        http_client: your own, with proxies or certificates, say. It is closed with this client.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 120.0,
        max_retries: int = 8,
        patience: float = 600.0,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        configure_from_environment()
        self._config = find_config(base_url, api_key)
        limits = httpx2.Timeout(timeout, connect=10.0)
        retries = Retries(most=max_retries, unreached=min(2, max_retries))
        self._transport = AsyncTransport(
            self._config, http_client or httpx2.AsyncClient(timeout=limits), retries, patience
        )
        self.datasets = AsyncDatasets(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.teachers = AsyncTeachers(self._transport)
        self.students = AsyncStudents(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.audit = AsyncAudit(self._transport)

    @property
    def base_url(self) -> str:
        return self._config.base_url

    async def health(self) -> models.Health:
        """Whether the service, what it relies on and its workers are there."""
        found = await self._transport.json("GET", "/readyz")
        return parse(models.Health, found)

    async def close(self) -> None:
        """Close its connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config.base_url!r})"
