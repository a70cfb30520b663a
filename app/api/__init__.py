"""The HTTP surface: routes that translate, one table of errors, and the shapes on the wire."""
