"""Images by C-STORE: a service of its own that receives them into the watched folder.

``settings``, ``limits`` and ``objects`` are pure; ``folder`` writes files; ``server`` alone knows
pynetdicom, so that the configuration can be read without it.
"""
