"""The line, against the same rules spelt out job by job."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.fair_queue import Group, QueueOrder, QueuePosition

TENANTS = ("ann", "bob", "cyd")
Jobs = list[tuple[str, int, str]]

jobs_of = st.lists(st.tuples(st.sampled_from((-1, 0, 7)), st.sampled_from(TENANTS)), max_size=25).map(
    lambda found: [(f"job_{number:03}", priority, tenant) for number, (priority, tenant) in enumerate(found)]
)
turns_of = st.dictionaries(st.tuples(st.sampled_from((-1, 0, 7)), st.sampled_from(TENANTS)), st.integers(1, 9))
places_left_of = st.dictionaries(st.sampled_from(TENANTS), st.integers(-2, 6))


def groups_of(jobs: Jobs, turns: dict[tuple[int, str], int]) -> list[Group]:
    ids: dict[tuple[int, str], list[str]] = {}
    for job_id, priority, tenant in jobs:
        ids.setdefault((priority, tenant), []).append(job_id)
    return [Group(*key, len(found), found[0], turns.get(key, 0), free=0) for key, found in ids.items()]


def spelt_out(jobs: Jobs, turns: dict[tuple[int, str], int], slots_left: dict[str, int]) -> list[tuple[str, bool]]:
    """Every job, the next one first, and whether it is held."""
    nth: dict[str, int] = {}
    held = set()
    for job_id, _, tenant in sorted(jobs, key=lambda job: (-job[1], job[0])):
        nth[tenant] = nth.get(tenant, 0) + 1
        if tenant in slots_left and nth[tenant] > slots_left[tenant]:
            held.add(job_id)

    def rank(job: tuple[str, int, str]) -> tuple[bool, int, int, int, str]:
        job_id, priority, tenant = job
        peers = [other for other, *group in jobs if group == [priority, tenant]]
        return job_id in held, -priority, peers.index(job_id), turns.get((priority, tenant), 0), peers[0]

    return [(job[0], job[0] in held) for job in sorted(jobs, key=rank)]


@given(jobs_of, turns_of, places_left_of)
def test_is_the_order_spelt_out(jobs: Jobs, turns: dict[tuple[int, str], int], slots_left: dict[str, int]) -> None:
    line = QueueOrder.from_groups(groups_of(jobs, turns), slots_left)
    expected = spelt_out(jobs, turns, slots_left)

    rounds: dict[tuple[int, str], int] = {}
    places = {}
    for job_id, priority, tenant in jobs:
        rounds[priority, tenant] = rounds.get((priority, tenant), 0) + 1
        places[job_id] = line.place(priority, tenant, rounds[priority, tenant])
    able = [job_id for job_id, held in expected if not held]

    assert places == {job_id: QueuePosition(number, held) for number, (job_id, held) in enumerate(expected, start=1)}
    assert line.order(jobs) == able
    assert line.first == (able[0] if able else None)


def test_knows_no_place_of_a_job_that_came_in_between() -> None:
    assert QueueOrder.from_groups([], {}).place(0, "ann", 1) is None
