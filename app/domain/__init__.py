"""What all packages agree on: specs, states, errors, progress lines, the data set index.

pydantic and the standard library only.
"""
