"""What a request meets before it is one: the connection and its head, which cost nothing to open and need no key."""
