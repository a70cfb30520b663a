"""What `tdmr demo` runs on: real handwritten digits, and the script that pretrained the shipped teacher."""
