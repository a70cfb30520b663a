"""The frozen teacher: its features for views, the probe and the proxy space trained on them, input reprogramming.

Imports `data` and what lies below. Stage 1 lives here; what a student learns from the result is up to `methods`.
"""
