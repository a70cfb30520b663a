"""The service's commands, as the command `tdmr` lists them: it comes with the client and loads `app.cli` only for the
one that is called, because that takes a second.

A test holds the summaries against the commands' own.
"""

COMMANDS = {
    "main": "app.cli:main",
    "commands": {
        "up": "Start the whole service on this machine: API, an import worker and a training worker.",
        "demo": "Distil a student for handwritten digits, from upload to download.",
        "api": "Serve the HTTP API, without workers.",
        "worker": "Run one worker.",
        "migrate": "Migrate the database (TDMR_DATABASE_URL) to the schema of this version.",
        "check": "Check that database, broker and storage answer and that workers give signs of life.",
        "prune": "Delete old jobs, files, events, curves and audit lines, and orphans in the storage.",
        "keys": "Create, list and revoke API keys directly in the database (TDMR_DATABASE_URL).",
        "tenants": "List tenants and set their quotas directly in the database (TDMR_DATABASE_URL).",
    },
}
"""`main` is where the group is that has them."""
