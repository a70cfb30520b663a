"""The HTTP service, its uploads and downloads, and its workers, under load and killed."""
