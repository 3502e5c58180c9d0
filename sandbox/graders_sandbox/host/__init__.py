"""The caller's side of the wall: starts servers, sends samples, reads outcomes."""
