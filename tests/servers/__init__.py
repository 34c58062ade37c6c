"""Real servers for the tests: subprocesses on free loopback ports, in temporary folders, ended by process id.

One module a server. Each can be killed and started again on the same port and data, so that faults are real faults.
"""
