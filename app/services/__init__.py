"""The decisions. Services take an open session, flush and never commit, and know nothing of HTTP."""
