"""Real data to begin with: what `tdmr demo` trains on, and what the pages offer to an empty service."""
