"""
The part of a Kubernetes API server that OpenBao asks about a pod's token: TokenReview.

It knows the tokens that it issued, and says whose they are. OpenBao calls it, not the library.
"""

from __future__ import annotations

import json
import secrets
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_CLAIM = "kubernetes.io/serviceaccount"


class Reviewer:
    """An API server that knows tokens of service accounts of one namespace, "shop"."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[str, str]] = {}
        self.url = ""

    def issue(self, account: str) -> str:
        """Return a new token of a service account, as Kubernetes mounts it into a pod."""
        uid = secrets.token_hex(8)
        claims = {
            "iss": "kubernetes/serviceaccount",
            "sub": f"system:serviceaccount:shop:{account}",
            f"{_CLAIM}/namespace": "shop",
            f"{_CLAIM}/service-account.name": account,
            f"{_CLAIM}/service-account.uid": uid,
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, claims]
        encoded = [_base64(json.dumps(part).encode()) for part in parts]
        token = ".".join([*encoded, _base64(secrets.token_bytes(256))])
        self._accounts[token] = account, uid
        return token

    def forget(self, token: str) -> None:
        """Know a token no longer, as after the end of its pod."""
        del self._accounts[token]

    def review(self, token: str) -> dict[str, Any]:
        """Return the status of a TokenReview."""
        if token not in self._accounts:
            return {"authenticated": False, "error": "invalid bearer token"}
        account, uid = self._accounts[token]
        user = {"username": f"system:serviceaccount:shop:{account}", "uid": uid}
        return {"authenticated": True, "user": user}


@contextmanager
def reviewing() -> Iterator[Reviewer]:
    """Serve one on loopback, yield it, and stop."""
    reviewer = Reviewer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == PATH
            review["status"] = reviewer.review(review["spec"]["token"]) if known else {}
            body = json.dumps(review).encode()
            self.send_response(201 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        reviewer.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield reviewer
        server.shutdown()


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
