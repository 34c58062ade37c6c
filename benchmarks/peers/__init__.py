"""The other gateways, each configured to do the same work as ours as well as it can; `@NAME@` is filled in by gateway_peers."""
