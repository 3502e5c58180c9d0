"""Readers of untrusted bytes, attacked with more of them."""
