"""Gives every generated request an access token, from a log-in of its own now and then: some requests end sessions."""

import http.client
import json
import os

import schemathesis


@schemathesis.auth(refresh_interval=2)
class Administrator:
    def get(self, case, context):
        # From another address of this machine: what is generated fails all the time, and makes its own wait.
        server = http.client.HTTPConnection(os.environ["SERVER"].removeprefix("http://"), source_address=("127.0.0.2", 0))
        body = {"username": "root", "password": os.environ["PASSWORD"], "delivery": "body"}
        server.request("POST", "/api/auth/login", json.dumps(body), {"Content-Type": "application/json"})
        answer = server.getresponse()
        assert answer.status == 200, answer.status
        return json.load(answer)["access_token"]

    def set(self, case, token, context):
        # In place of what was made up: what comes of a bad token is tested elsewhere.
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
