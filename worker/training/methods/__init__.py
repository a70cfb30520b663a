"""Stage 2: one module for each method, with its info, its config, its losses and its task; batches and targets.

Imports `prepare`, `teacher` and what lies below. To add a method, add one module: see `registry`.
"""
