"""Who is taken for dead: by the watcher's own clock, and only where the counter stands still."""

from app.db.queries.jobs import Held
from app.services.reaping import Watch

A, B = Held("job_a", 1, 5), Held("job_b", 3, 0)


class TestWatch:
    def test_a_claim_seen_for_the_first_time_has_just_moved(self) -> None:
        assert Watch().seconds_still([A, B], 1000.0) == {A: 0.0, B: 0.0}

    def test_counts_from_when_a_counter_was_first_seen_where_it_stands(self) -> None:
        watch = Watch()
        for now in (10.0, 25.0):
            watch.seconds_still([A], now)
        assert watch.seconds_still([A], 40.0) == {A: 30.0}

    def test_a_beat_and_a_new_claim_start_anew(self) -> None:
        watch = Watch()
        watch.seconds_still([A, B], 0.0)
        beaten, claimed = A._replace(hb_seq=6), B._replace(epoch=4)
        assert watch.seconds_still([beaten, claimed], 50.0) == {beaten: 0.0, claimed: 0.0}
        assert watch.seconds_still([beaten, claimed], 60.0) == {beaten: 10.0, claimed: 10.0}

    def test_what_was_not_held_in_between_starts_anew(self) -> None:
        watch = Watch()
        watch.seconds_still([A], 0.0)
        watch.seconds_still([], 30.0)
        assert watch.seconds_still([A], 60.0) == {A: 0.0}

    def test_two_watchers_count_each_for_itself(self) -> None:
        early, late = Watch(), Watch()
        early.seconds_still([A], 0.0)
        assert (late.seconds_still([A], 100.0), early.seconds_still([A], 100.0)) == ({A: 0.0}, {A: 100.0})
