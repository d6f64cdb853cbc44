"""Checks what a provider signed about a person: by which key, for whom, when, and for which sign-in."""

import warnings
from typing import TYPE_CHECKING, Any

from atlas.errors import NotPermitted

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

# Signatures with a secret are not among them, and none at all is not.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
SKEW_SECONDS = 60
LONGEST_HEADER = 8192  # some providers put a certificate into it
CLOCKS = ("exp", "iat", "nbf")


class NoSuchKey(Exception):
    """None of the keys signed the token; newer ones may have."""


def checked_claims(
    text: str, keys: "KeySet", *, issuer: str, client: str, nonce: str, access_token: str | None
) -> dict[str, Any]:
    """The claims of an ID token; raises NotPermitted or NoSuchKey.

    https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
    """
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import BadSignatureError, ClaimError, InvalidKeyIdError, JoseError, SecurityWarning
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = LONGEST_HEADER
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # EdDSA has a newer name, which few use
            token = jwt.decode(text, key=keys, registry=registry)
        options = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client}}
        params = {"nonce": nonce, "client_id": client, "access_token": access_token}
        claims = CodeIDToken(token.claims, token.header, options, params)
        claims.validate(leeway=SKEW_SECONDS)
    except (InvalidKeyIdError, BadSignatureError) as error:
        raise NoSuchKey from error
    except ClaimError as error:
        raise NotPermitted(reason=_about(error.claim)) from None
    except (JoseError, ValueError, TypeError) as error:
        reason = f"The provider's token cannot be trusted ({type(error).__name__})."
        raise NotPermitted(reason=reason) from None
    if not claims["sub"]:
        raise NotPermitted(reason=_about("sub"))
    return dict(claims)


def _about(claim: str) -> str:
    if claim in CLOCKS:
        return (
            f"The provider's token is not valid at this time (its claim {claim}). Compare the clock of this "
            "machine with the provider's, then sign in again."
        )
    return f"The provider's token is not for this sign-in: its claim {claim} is missing or another one."
