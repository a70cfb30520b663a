"""Routes by noun: parse, call, shape."""
