"""Adapters for clients that have a hook for whoever dials.

Each is a module that imports its client; nothing here is loaded by ``import aioconnect``.
"""
