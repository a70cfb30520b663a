"""What `tdmr demo` runs on: real handwritten digits."""
