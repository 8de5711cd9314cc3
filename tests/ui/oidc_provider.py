"""A small identity provider on this machine: whoever comes is signed in as `claims` say."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey


class Provider:
    """OpenID Connect's code flow: metadata, keys, authorize, token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claims: dict[str, Any] = {}
        """Of whoever signs in next: sub, name, email ..."""
        self._key = RSAKey.generate_key(2048, parameters={"kid": "1", "use": "sig", "alg": "RS256"})
        self._nonces: dict[str, str] = {}

    def answer(self, path: str, query: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
        """Returns JSON to send, or an address to redirect to."""
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }, ""
        if path == "/keys":
            return {"keys": [self._key.as_dict(private=False)]}, ""
        if path == "/authorize":
            code = f"code-{len(self._nonces)}"
            self._nonces[code] = query.get("nonce", "")
            back = urlencode({"code": code, "state": query["state"]})
            return None, f"{query['redirect_uri']}?{back}"
        if path == "/token":
            now = int(time.time())
            claims = {
                "iss": self.url, "aud": "lab", "iat": now, "exp": now + 300,
                "nonce": self._nonces.pop(query["code"]), **self.claims,
            }  # fmt: skip
            token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)
            return {"access_token": "x", "token_type": "Bearer", "id_token": token}, ""
        return {}, ""


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    """A provider that answers while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            values, address = one.answer(urlsplit(self.path).path, _flat(urlsplit(self.path).query))
            self.send_response(302 if address else 200)
            if address:
                self.send_header("Location", address)
            body = json.dumps(values).encode() if values is not None else b""
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.path += f"?{self.rfile.read(length).decode()}"
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}
