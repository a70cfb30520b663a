"""What a client hears without asking again: server-sent events, and answers that wait for a change."""
