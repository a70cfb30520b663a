"""Other projects' ways to a small student from a large teacher, on the same images and image steps as ours."""
