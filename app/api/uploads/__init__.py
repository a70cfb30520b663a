"""Three ways to send an archive; see README.md."""
