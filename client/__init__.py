"""The client's distribution; `src/tdmr` is what is shipped."""
