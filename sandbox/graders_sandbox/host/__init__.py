"""The host side: starts servers, sends samples to them, reads outcomes."""
