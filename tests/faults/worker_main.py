"""A training worker as `python -m worker` starts it, but for what trains: the child of tests/integration/trainer.py.

python worker_main.py FOLDER, where FOLDER says what that child does half way
"""

import sys
from pathlib import Path

from app.domain.catalog import Catalog, StudentCard
from app.queue import TRAINING_QUEUE
from worker.__main__ import serve

TRAINER = Path(__file__).parents[1] / "integration" / "trainer.py"
CATALOG = Catalog(teachers=(), students=(StudentCard(name="test_vit", family="vision_transformer", parameters=1),))

if __name__ == "__main__":
    trainer = (sys.executable, str(TRAINER), f"obeys {sys.argv[1]}")
    catalog = ("sh", "-c", 'printf %s "$0"', CATALOG.model_dump_json())  # whatever options follow
    sys.exit(serve(TRAINING_QUEUE, command=trainer, catalog=catalog))
