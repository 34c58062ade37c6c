"""OAuth 2.0 at the gateway: tokens, their revocation and introspection, token exchange, metadata and keys. See `endpoints`."""
