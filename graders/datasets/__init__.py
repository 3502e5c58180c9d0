"""Datasets: rows read from files and iterables, each with an id, a sample and an item."""
