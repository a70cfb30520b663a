"""What a GPU is worth to a job: `python -m benchmarks.gpu`."""
