"""Pages for people: one self-contained HTML file each, without scripts, so that it can be sent to a colleague."""
