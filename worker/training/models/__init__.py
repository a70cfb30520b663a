"""Networks: timm architectures as teachers and students, their taps, weights and the catalogue of what can be built.

Imports `losses`, `statistics` and the domain; nothing here knows data, methods or a run.
"""
