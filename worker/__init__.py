"""The worker package: takes jobs from the queue, runs each in a process of its own, publishes what comes out."""
