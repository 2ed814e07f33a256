"""Uploads, the library of recordings and the object store."""
