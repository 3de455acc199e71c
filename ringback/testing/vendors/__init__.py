"""A fake of every vendor's server, on their real wire formats.

In tests: `ringback.testing.vendors.server.VendorServer`; from a shell: `python -m ringback.testing.vendors`.
"""
