"""Workers that die and workers that come back, in processes of their own: benchmarks/service/race.py, smaller."""

from benchmarks.service.race import ZOMBIE_WRITES, Race, run


def test_no_job_is_lost_or_finished_twice_and_no_zombie_is_heard(store_url: str) -> None:
    jobs = 12 if store_url.startswith("sqlite") else 40  # SQLite has one writer at a time
    counts = run(Race(store_url, processes=4, jobs=jobs, lease=1.0))

    assert counts["zombies"] > 0 and counts["zombie writes"] == counts["zombies"] * len(ZOMBIE_WRITES)
    assert counts["deaths"] > 0 and counts["reaped"] >= counts["deaths"] + counts["zombies"]
    assert counts["finishes"] == jobs
    assert (counts["lost"], counts["finished twice"], counts["zombie writes accepted"]) == (0, 0, 0)
