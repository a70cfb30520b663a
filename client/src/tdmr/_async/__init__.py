"""The asynchronous client. Its twin in `_sync` is generated from it (client/tools)."""
