"""The training package: SPEC + DATA → OUT. Pure torch and timm; no HTTP, no SQL, no queue, so it runs anywhere."""
