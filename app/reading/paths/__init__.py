"""Which image is meant by what somebody calls it."""
