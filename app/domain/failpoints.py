"""Named places at which a process can be made to die, to see that nothing is lost.

`FAULT_POINT=name` makes the process that reaches this name kill itself, as a power cut would; `name:3` at the third
time. With `FAULT_VICTIM=parent` it kills the process that started it instead, and so, in a worker's child, itself too.
Without the variable a fault point does nothing.
"""

import os
import signal
import time

_NAME, _, _COUNT = os.environ.get("FAULT_POINT", "").partition(":")
_left = int(_COUNT or 1)
_PARENT = os.environ.get("FAULT_VICTIM") == "parent"
_DEATH_SECONDS = 60.0


def failpoint(name: str) -> None:
    """Die here if this is the place."""
    global _left  # noqa: PLW0603 (one countdown a process)
    if name != _NAME:
        return
    _left -= 1
    if _left == 0 and _PARENT:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(_DEATH_SECONDS)  # the kernel kills us with it; do nothing more until then
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
