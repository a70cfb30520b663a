"""The JSON that routes take and return."""
