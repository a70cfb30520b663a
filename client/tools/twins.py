"""The synchronous twin of asynchronous source: the same code without its waiting."""

import re

WRITTEN_TWICE = ("_io.py",)
"""What differs in more than words: what waits, sleeps and runs in threads."""
_WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
    "asynccontextmanager": "contextmanager",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "aclosing": "closing",
    "_async": "_sync",
    "asynchronous": "synchronous",
    "Asynchronous": "Synchronous",
}
_NOTICE = "# Generated from _async by client/tools; not to be edited.\n"


def synchronous(source: str) -> str:
    source = re.sub(r"\basync (def|with|for)\b", r"\1", source)
    source = re.sub(r"\bawait ", "", source)
    source = re.sub(r"\bAsync([A-Z]\w*)", r"\1", source)
    source = re.sub(r"\w+", lambda match: _WORDS.get(match[0], match[0]), source)
    return _NOTICE + source
