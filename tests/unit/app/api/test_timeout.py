"""An application that answers late, around which the deadline stands."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.api.timeout import Deadline

SECONDS = 1.0
LATE = 1.5 * SECONDS


class Application:
    """Takes some seconds before it answers, and between the two halves of its answer."""

    def __init__(self, before: float = 0.0, within: float = 0.0) -> None:
        self.before, self.within = before, within
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await asyncio.sleep(self.before)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await asyncio.sleep(self.within)
        await send({"type": "http.response.body", "body": b"two"})
        self.ended.set()


async def ask(app: Application, **request: object) -> httpx.Response:
    transport = httpx.ASGITransport(Deadline(app, SECONDS))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post("/v1/jobs", **request)  # type: ignore[arg-type]


class TestDeadline:
    def test_answers_for_an_application_that_is_late_and_drops_what_that_says_afterwards(self) -> None:
        async def run() -> httpx.Response:
            app = Application(before=LATE)
            answer = await ask(app, json={})
            assert not app.ended.is_set()
            await asyncio.wait_for(app.ended.wait(), 30)
            return answer

        answer = asyncio.run(run())

        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "5"
        assert answer.json()["code"] == "store_unavailable"

    @pytest.mark.parametrize(
        ("app", "request_"),
        [
            ({"within": LATE}, {"json": {}}),
            ({"before": LATE}, {"files": {"file": b"bytes"}}),
            ({"before": LATE}, {"content": b"bytes", "headers": {"Content-Type": "application/offset+octet-stream"}}),
        ],
        ids=["an answer that has begun", "a form with a file", "a piece of a file"],
    )
    def test_leaves_alone(self, app: dict[str, float], request_: dict[str, object]) -> None:
        async def run() -> httpx.Response:
            return await ask(Application(**app), **request_)

        answer = asyncio.run(run())

        assert (answer.status_code, answer.text) == (200, "one two")

    def test_does_not_count_the_time_that_a_client_takes(self) -> None:
        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(6):
                await asyncio.sleep(SECONDS / 2)
                yield b" "

        async def run() -> httpx.Response:
            return await ask(Application(), content=slowly(), headers={"Content-Type": "application/json"})

        assert asyncio.run(run()).status_code == 200

    def test_passes_on_what_an_application_raises_in_time(self) -> None:
        class Fails(Application):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                raise LookupError("in time")

        async def run() -> httpx.Response:
            return await ask(Fails(), json={})

        with pytest.raises(LookupError, match="in time"):
            asyncio.run(run())
