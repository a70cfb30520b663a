"""The production stack for hours, under load, while its parts are killed: `python -m benchmarks.service.soak`."""
