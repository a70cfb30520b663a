"""What streams of one row share."""

import asyncio

from app.api.live.changes import KEPT_READS, Watched


class TestReads:
    def test_streams_that_have_heard_equally_much_share_one(self) -> None:
        assert asyncio.run(read(["1", "1", "1"])) == ["1"]

    def test_ids_that_a_client_makes_up_do_not_add_up(self) -> None:
        many = [str(number) for number in range(10 * KEPT_READS)]
        watched = Watched()
        assert asyncio.run(read(many, watched)) == many
        assert len(watched._reads) == KEPT_READS

    def test_the_last_ones_are_kept(self) -> None:
        recent = [str(number) for number in range(100, 100 + KEPT_READS)]
        assert asyncio.run(read(["0", *recent, *recent, "0"])) == ["0", *recent, "0"]


async def read(keys: list[str], watched: Watched | None = None) -> list[str]:
    """What is really read where these are asked for one after another."""
    watched, made = watched or Watched(), list[str]()

    async def make(key: str) -> str:
        made.append(key)
        return key

    for key in keys:
        assert await watched.read(key, lambda key=key: make(key)) == key  # type: ignore[misc]
    return made
