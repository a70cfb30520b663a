"""The student's files: one writer for each format, and the checks that each file passes before it is published.

Imports `prepare` and what lies below; it never asks which method trained the student.
"""
