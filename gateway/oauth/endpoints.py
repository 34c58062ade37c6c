"""All OAuth endpoints of one snapshot, put together."""

from core.cache import Limiter, Replays
from gateway.oauth.client import Answer, ClientEndpoint
from gateway.oauth.exchange import Exchange
from gateway.oauth.introspect import IntrospectEndpoint
from gateway.oauth.login import Logins
from gateway.oauth.metadata import Fixed, key_set, metadata
from gateway.oauth.revoke import RevokeEndpoint
from gateway.oauth.token import Proofs, TokenEndpoint
from gateway.sessions import SessionParts
from gateway.stage import Handler
from gateway.stages.authorise import Admission
from gateway.tokens import Tokens
from registry.snapshot import Snapshot

PROOF_ALGORITHMS = ("EdDSA", "ES256")


def oauth_endpoints(
    snapshot: Snapshot,
    tokens: Tokens,
    admission: Admission,
    limiter: Limiter,
    parts: SessionParts,
    *,
    proofs: Proofs,
    replays: Replays,
) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of each. The pipes they go into take at most `client.MAX_FORM_BYTES`."""
    revocations, told = parts.revocations, metadata(parts.public_url, tokens.issuer, PROOF_ALGORITHMS)
    exchange = Exchange(snapshot, tokens, admission, revocations)
    logins = Logins(snapshot.credentials, replays, (tokens.issuer, told["token_endpoint"]))

    def posted(answer: Answer) -> ClientEndpoint:
        return ClientEndpoint(logins.client, limiter, answer)

    return [
        ("POST", "/oauth2/token", posted(TokenEndpoint(snapshot, tokens, admission, exchange, parts.log, proofs))),
        ("POST", "/oauth2/revoke", posted(RevokeEndpoint(tokens, revocations, parts.revoker))),
        ("POST", "/oauth2/introspect", posted(IntrospectEndpoint(tokens, admission, revocations))),
        ("GET", "/oauth2/jwks.json", Fixed(key_set(snapshot.verification_keys))),
        ("GET", "/.well-known/oauth-authorization-server", Fixed(told)),
    ]
