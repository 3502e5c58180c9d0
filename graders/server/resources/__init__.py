"""The server, one file a resource."""
