"""The store's operations, one file for what they are about."""
