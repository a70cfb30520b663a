"""The service package: HTTP, decisions and the job store. Never imports torch and never imports `worker`."""
