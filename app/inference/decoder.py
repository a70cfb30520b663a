"""`python -m app.inference.decoder MAX_PIXELS CPU_SECONDS PARENT`: images on standard input, squares on output.

    {"bytes": 48213, "preprocessing": {…}}  and so many bytes
    taken                                   before they are looked at
    {"problem": null}                       and the square, uint8 [S, S, 3]; with a problem nothing follows

It ends with its input. What it prints may be the work of a hostile image, so its reader trusts neither form nor size.
"""

import json
import os
import signal
import sys
from pathlib import Path

from app.domain.manifest import Preprocessing
from app.imaging import UnreadableImage, clean_square, open_rgb
from app.ingest.decoders import limit, worst_bytes

TAKEN = b"taken\n"


def main() -> int:
    max_pixels, cpu_seconds, parent = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    # the answers' own: a library that prints must not come between them
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limit(parent, worst_bytes(max_pixels))
    if sys.platform == "linux":
        # where memory ends, it is not the service that the kernel shall end
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    while line := source.readline():
        asked = json.loads(line)
        data, preprocessing = source.read(asked["bytes"]), Preprocessing.model_validate(asked["preprocessing"])
        answers.write(TAKEN)
        answers.flush()
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # its signal's default is to end the process
        try:
            square, problem = clean_square(open_rgb(data, max_pixels), preprocessing).tobytes(), None
        except UnreadableImage as error:
            square, problem = b"", str(error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps({"problem": problem}).encode() + b"\n" + square)
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
