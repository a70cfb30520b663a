"""What we measure, runnable by anyone: each script is one command, goes on where it stopped, and prints its table."""
