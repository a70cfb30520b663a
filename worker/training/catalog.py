"""`python -m worker.training.catalog`: print what this machine can train, models and methods, as a `Catalog`."""

from worker.training.methods import registry
from worker.training.models import catalog

if __name__ == "__main__":
    catalog.main(registry.infos())
