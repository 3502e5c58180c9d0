"""The store's operations, one file for each kind of record."""
