"""The command line `zhiyun`: starts a node, and for all else is a thin client of the management API."""
