"""Archives that are fetched from an address: of a web server, or of a bucket. An interrupted download goes on."""
