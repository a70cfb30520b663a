"""Architectures, export formats and teachers, and the training of the teacher that is shipped."""
