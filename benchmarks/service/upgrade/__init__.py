"""Whether a store of an earlier version opens in this one: `python -m benchmarks.service.upgrade --from REF`."""
