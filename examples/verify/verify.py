"""Verifies an access token with PyJWT: `python verify.py ISSUER AUDIENCE < token`, with the key in access.jwk."""

import json
import sys

import jwt

issuer, audience = sys.argv[1:]
with open("access.jwk") as file:
    key = jwt.PyJWK(json.load(file)).key
token = sys.stdin.read().strip()
try:
    decoded = jwt.decode_complete(
        token,
        key,
        algorithms=["HS256"],  # the key says what it is for, not the token
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "sub", "sid"]},
    )
    # No other token of Latchkey's passes for an access token.
    if decoded["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("this is not an access token")
except jwt.InvalidTokenError as error:
    sys.exit(f"refused: {error}")
print(decoded["payload"]["sub"], decoded["payload"]["role"])
