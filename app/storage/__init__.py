"""Bytes that outlive a request: uploads, prepared data sets and artefacts, on any fsspec URL."""
