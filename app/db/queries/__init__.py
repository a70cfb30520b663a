"""Every SELECT of the service, by aggregate."""
