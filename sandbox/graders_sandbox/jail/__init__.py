"""The side behind the wall: the server, its template, and the samples forked from it."""
