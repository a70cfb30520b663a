"""What counts as a change when another version tells of the same job."""

from benchmarks.service.upgrade.facts import differences


class TestDifferences:
    def test_what_is_told_in_addition_is_none(self) -> None:
        assert not list(differences({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}], "d": 3}))

    def test_name_what_changed_and_what_is_missing(self) -> None:
        old = {"job": {"state": "paused", "seed": 1}, "events": [{"seq": 1}, {"seq": 2}], "zip": "ab"}
        new = {"job": {"state": "queued"}, "events": [{"seq": 1}], "zip": "ab"}
        assert list(differences(old, new)) == [
            "job.state: 'paused' became 'queued'",
            "job.seed is no longer told (was 1)",
            "events: [{'seq': 1}, {'seq': 2}] became [{'seq': 1}]",
        ]
