# Generated from _async by client/tools; not to be edited.
"""The synchronous client. Its twin in `_sync` is generated from it (client/tools)."""
