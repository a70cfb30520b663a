"""What makes the generated files of the client. It needs the service installed, and is no part of the wheel."""
