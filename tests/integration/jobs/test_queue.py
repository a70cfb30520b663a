"""Who is next: priority, then the tenants in turn, then age; and places are told as they will come."""

import random
from collections.abc import Sequence

from sqlalchemy import select

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job
from app.db.queries import queue
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState
from app.services import leases


def submit(store: Store, jobs: Sequence[tuple[str, int]]) -> list[str]:
    """Queue jobs of (tenant, priority), oldest first."""
    dataset_id = new_id("ds")
    spec = JobSpec(dataset_id=dataset_id, student="test_vit", method="scratch").model_dump(mode="json")
    ids = sorted(new_id("job") for _ in jobs)  # of one millisecond, ids sort by chance
    with store.write() as session:
        dataset = Dataset(id=dataset_id, name="n", bytes=1, sha256="0" * 64, state=DatasetState.READY)
        dataset.prepared_key = "prepared"
        session.add(dataset)
        session.add_all(
            Job(id=job_id, tenant=tenant, dataset_id=dataset_id, spec=spec, priority=priority)
            for job_id, (tenant, priority) in zip(ids, jobs, strict=True)
        )
    return ids


def claim_next(store: Store) -> str:
    with store.write() as session:
        job_id = queue.next_queued_job(session)
        assert job_id is not None
        assert leases.claim_job(session, job_id, "wk_1") is not None
    return job_id


def forecast(store: Store) -> list[str]:
    """The queued jobs by their positions, which must be 1..n."""
    with store.read() as session:
        waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED)).all()
        places = {job_id: place.position for job_id, place in queue.queue_positions(session, waiting).items()}
    assert sorted(places.values()) == list(range(1, len(waiting) + 1))
    return sorted(places, key=places.__getitem__)


class TestOrder:
    def test_is_priority_then_the_tenants_in_turn_then_age(self, store: Store) -> None:
        jobs = [("a", 0), ("a", 0), ("a", 0), ("b", 0), ("c", 0), ("b", 0), ("c", 9), ("a", -1)]
        ids = submit(store, jobs)

        claimed = [ids.index(claim_next(store)) for _ in jobs]

        assert claimed == [6, 0, 3, 4, 1, 5, 2, 7]

    def test_a_thousand_jobs_of_one_hold_up_the_first_of_another_by_one(self, store: Store) -> None:
        submit(store, [("many", 0)] * 1000)
        assert claim_next(store)
        (late,) = submit(store, [("one", 0)])

        assert claim_next(store) == late

    def test_who_had_a_turn_waits_for_those_who_had_none(self, store: Store) -> None:
        first, second, other = submit(store, [("a", 0), ("a", 0), ("b", 0)])
        assert claim_next(store) == first
        (newcomer,) = submit(store, [("c", 0)])

        assert [claim_next(store) for _ in range(3)] == [other, newcomer, second]

    def test_a_turn_at_a_high_priority_costs_none_at_a_lower_one(self, store: Store) -> None:
        urgent, of_a, of_b = submit(store, [("a", 5), ("a", 0), ("b", 0)])

        assert [claim_next(store) for _ in range(3)] == [urgent, of_a, of_b]


class TestForecast:
    def test_is_the_order_in_which_jobs_are_then_claimed(self, store: Store) -> None:
        chance = random.Random(0)
        for _ in range(5):
            # after some history, and with what other rounds have left behind
            submit(store, [(chance.choice("abcd"), chance.choice((-1, 0, 0, 0, 7))) for _ in range(8)])
            for _ in range(chance.randrange(5)):
                claim_next(store)
        expected = forecast(store)

        assert [claim_next(store) for _ in expected] == expected
        assert forecast(store) == []

    def test_leaves_out_what_does_not_wait(self, store: Store) -> None:
        ids = submit(store, [("a", 0), ("a", 0)])
        claim_next(store)
        with store.read() as session:
            assert queue.queue_positions(session, [*ids, "job_0"]) == {ids[1]: (1, False)}
