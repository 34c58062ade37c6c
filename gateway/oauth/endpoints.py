"""All OAuth endpoints of one snapshot, put together."""

from dataclasses import dataclass

from core.cache import Limiter
from gateway.oauth.client import Answer, ClientEndpoint
from gateway.oauth.exchange import Exchange
from gateway.oauth.introspect import IntrospectEndpoint
from gateway.oauth.metadata import Fixed, key_set, metadata
from gateway.oauth.revoke import RevokeEndpoint
from gateway.oauth.token import Proofs, SessionSink, TokenEndpoint
from gateway.revocations import Revocations
from gateway.stage import Handler
from gateway.stages.authorise import Admission
from gateway.tokens import Tokens
from registry.app_sessions import Revoker
from registry.snapshot import Snapshot

PROOF_ALGORITHMS = ("EdDSA", "ES256")


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a process keeps of sessions from one snapshot to the next. `public_url` is where clients reach the gateway."""

    revocations: Revocations
    revoker: Revoker
    log: SessionSink
    public_url: str


def oauth_endpoints(
    snapshot: Snapshot, tokens: Tokens, admission: Admission, limiter: Limiter, parts: SessionParts, proofs: Proofs
) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of each. The pipes they go into take at most `client.MAX_FORM_BYTES`."""
    revocations = parts.revocations
    exchange = Exchange(snapshot, tokens, admission, revocations)

    def posted(answer: Answer) -> ClientEndpoint:
        return ClientEndpoint(snapshot.credentials, limiter, answer)

    told = metadata(parts.public_url, tokens.issuer, PROOF_ALGORITHMS)
    return [
        ("POST", "/oauth2/token", posted(TokenEndpoint(snapshot, tokens, admission, exchange, parts.log, proofs))),
        ("POST", "/oauth2/revoke", posted(RevokeEndpoint(tokens, revocations, parts.revoker))),
        ("POST", "/oauth2/introspect", posted(IntrospectEndpoint(tokens, admission, revocations))),
        ("GET", "/oauth2/jwks.json", Fixed(key_set(snapshot.verification_keys))),
        ("GET", "/.well-known/oauth-authorization-server", Fixed(told)),
    ]
