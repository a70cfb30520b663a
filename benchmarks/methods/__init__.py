"""What the methods are worth and what they cost, on photographs and digits."""
