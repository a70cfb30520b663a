"""The pages in a real browser: captures of all of them, what they weigh, and many of them open at once."""
