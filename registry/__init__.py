"""What is declared and who may come in: resources with versions and audit, sealed secrets, credentials, users, snapshots.

Imports core and config only; the database, the adapters and the clock are handed in.
"""
