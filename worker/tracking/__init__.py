"""Ended jobs are logged on the operator's MLflow server: `tracker.py` claims them, and `python -m worker.tracking`
writes one run, with the client's exporter."""
