"""The training loop and what surrounds a step: checkpoints, prefetching, tuning, progress and curves.

Imports `models` and what lies below. The loop takes any task and never asks which stage or method it trains.
"""
