"""From an uploaded archive to a prepared data set. Runs in a process of its own: what it reads is hostile until shown
otherwise."""
