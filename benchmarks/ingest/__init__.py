"""The import of a data set: its speed, and damaged and hostile files."""
