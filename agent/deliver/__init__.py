"""Delivery of results to channels."""
