"""Gives every generated request an access token, from a log-in of its own now and then: some requests end sessions."""

import json
import os
import urllib.request

import schemathesis


@schemathesis.auth(refresh_interval=2)
class Administrator:
    def get(self, case, context):
        body = json.dumps({"username": "root", "password": os.environ["PASSWORD"], "delivery": "body"}).encode()
        url = os.environ["SERVER"] + "/api/auth/login"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["access_token"]

    def set(self, case, token, context):
        # In place of what was made up: what comes of a bad token is tested elsewhere.
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
