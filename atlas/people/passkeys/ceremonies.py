"""What a browser is asked for, and whether what its passkey signed holds.

The library, webauthn, is imported at the first use.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from atlas.errors import PasskeyRefused
from atlas.instants import now
from atlas.models import plain_text
from atlas.people.passkeys.challenges import LASTS
from atlas.people.passkeys.keys import Passkey

if TYPE_CHECKING:
    from fastapi import Request
    from webauthn.authentication.verify_authentication_response import VerifiedAuthentication

MOST_CHARACTERS = 20_000  # of what a browser sends
NAME = "ATLAS desk"


def origin_of(request: "Request") -> str:
    """The origin of the desk as this browser has it: the host that AddressGuard let through."""
    return f"{request.url.scheme}://{request.headers['host']}".lower()


def rp_id_of(origin: str) -> str:
    """The host for which passkeys of an origin are made."""
    return urlsplit(origin).hostname or ""


def require_name(origin: str) -> None:
    """Raise PasskeyRefused where a browser has the desk under an address, for which it makes no passkey."""
    with suppress(ValueError):
        ip_address(rp_id_of(origin))
        named = origin.replace("127.0.0.1", "localhost")
        here = f", as {named}" if named != origin else ""
        reason = (
            f"Passkeys are made for a host with a name, not for {origin}. Open the desk under a name{here}."
        )
        raise PasskeyRefused(reason=reason)


def options_to_add(
    person: str, challenge: bytes, *, origin: str, present: Sequence[Passkey]
) -> dict[str, Any]:
    """For navigator.credentials.create(): a passkey on a device that asks who holds it."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict, structs

    options = generate_registration_options(
        rp_id=rp_id_of(origin),
        rp_name=NAME,
        user_name=person,
        user_id=person.encode()[:64],
        challenge=challenge,
        timeout=int(LASTS.total_seconds() * 1000),
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_described(present),
    )
    return dict(options_to_json_dict(options))


def options_to_sign(challenge: bytes, *, origin: str, usable: Sequence[Passkey]) -> dict[str, Any]:
    """For navigator.credentials.get(): one of these passkeys, and who holds it is asked for."""
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict, structs

    options = generate_authentication_options(
        rp_id=rp_id_of(origin),
        challenge=challenge,
        timeout=int(LASTS.total_seconds() * 1000),
        allow_credentials=_described(usable),
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return dict(options_to_json_dict(options))


def added(credential: str, person: str, name: str, challenge: bytes, *, origin: str) -> Passkey:
    """The passkey that a browser has made; raises PasskeyRefused."""
    from webauthn import verify_registration_response
    from webauthn.helpers import bytes_to_base64url

    with _Refusing():
        made = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id_of(origin),
            expected_origin=origin,
            require_user_verification=True,
        )
    return Passkey(
        credential_id=bytes_to_base64url(made.credential_id),
        person=person,
        public_key=bytes_to_base64url(made.credential_public_key),
        sign_count=made.sign_count,
        name=name,
        rp_id=rp_id_of(origin),
        origin=origin,
        added_at=now(),
    )


def check(credential: str, passkey: Passkey, challenge: bytes, *, sign_count: int | None = None) -> int:
    """Check a signature, and return how often the authenticator says that it has signed.

    The person was asked for a PIN, a finger or a face; the origin is that at which the passkey was made.
    Raises PasskeyRefused.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers import base64url_to_bytes

    with _Refusing():
        checked: VerifiedAuthentication = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=passkey.rp_id,
            expected_origin=passkey.origin,
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=passkey.sign_count if sign_count is None else sign_count,
            require_user_verification=True,
        )
    return checked.new_sign_count


def said_by(credential: str) -> tuple[str, bytes]:
    """The id of the passkey that signed, and the challenge that it signed; raises PasskeyRefused.

    Nothing of it is checked yet.
    """
    from webauthn.helpers import base64url_to_bytes

    if len(credential) > MOST_CHARACTERS:
        raise PasskeyRefused(reason="What the browser sent is too long for a passkey's signature.")
    with _Refusing():
        told = json.loads(credential)
        client = json.loads(base64url_to_bytes(told["response"]["clientDataJSON"]))
        if client.get("crossOrigin") or client.get("topOrigin"):
            raise PasskeyRefused(reason="The passkey was asked by a page inside a page of another origin.")
        return str(told["id"]), base64url_to_bytes(client["challenge"])


def essence_of(credential: str) -> dict[str, Any]:
    """What of a signature is kept, as it is all that is checked; raises PasskeyRefused."""
    with _Refusing():
        told = json.loads(credential[:MOST_CHARACTERS])
        response = {
            name: str(told["response"][name]) for name in ("authenticatorData", "clientDataJSON", "signature")
        }
        return {
            "id": str(told["id"]),
            "rawId": str(told["rawId"]),
            "type": "public-key",
            "response": response,
        }


class _Refusing:
    """Makes one refusal of all that can be wrong with what a browser sent: what fails here signs nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from webauthn.helpers.exceptions import WebAuthnException

        if isinstance(error, WebAuthnException):
            said = plain_text(str(error))[:300].rstrip(".")
            raise PasskeyRefused(reason=f"The passkey's signature does not hold: {said}.") from error
        if isinstance(error, Exception) and not isinstance(error, PasskeyRefused):
            raise PasskeyRefused(reason="What the browser sent is no signature of a passkey.") from error


def _described(found: Sequence[Passkey]) -> list[Any]:
    from webauthn.helpers import base64url_to_bytes
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential_id)) for one in found]
