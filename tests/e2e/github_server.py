"""GitHub, as far as a job asks it, on the loopback: the files of a release, and OIDC tokens for who may have them.

The keys that the tokens are signed with are in SITE/jwks.json, as the controller's github.keys_file wants them.
"""
import base64
import hashlib
import http.server
import json
import secrets
import subprocess
import threading
import time
import urllib.parse

from stack import CLI, SITE, run, write

ISSUER = "https://issuer.example"
# Not in any file, for tests look for it in all of them.
REQUEST_TOKEN = f"CANARY-{secrets.token_hex(8)}"


class GitHubServer(http.server.ThreadingHTTPServer):
    """`asked` is every path that was asked for. The release is of OWNER/slipway's `version`, the tokens for a job of main at `commit`."""

    def __init__(self, version, commit):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.release = f"/OWNER/slipway/releases/download/v{version}"
        self.asked = []
        self.commit = commit
        with open(CLI, "rb") as file:
            self.program = file.read()
        self.sums = f"{hashlib.sha256(self.program).hexdigest()}  slipway-linux-amd64\n".encode()
        self.key = f"{SITE}/issuer.pem"
        run("openssl", "genrsa", "-out", self.key, "2048")
        modulus = run("openssl", "rsa", "-in", self.key, "-noout", "-modulus").strip().removeprefix("Modulus=")
        write(f"{SITE}/jwks.json", json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1", "e": "AQAB",
                                                        "n": word(bytes.fromhex(modulus))}]}))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def sign(self, claims):
        signed = ".".join(word(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "k1"}, claims))
        made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), capture_output=True, check=True)
        return f"{signed}.{word(made.stdout)}"

    def identify(self, audience):
        now = int(time.time())
        return self.sign({"iss": ISSUER, "aud": audience, "sub": "repo:acme/gifty:environment:production", "jti": f"id-{now}-{len(self.asked)}",
                          "repository": "acme/gifty", "repository_id": "4711", "ref": "refs/heads/main", "environment": "production",
                          "sha": self.commit, "event_name": "push", "actor": "ann", "run_id": "99", "run_attempt": "1",
                          "iat": now, "nbf": now - 5, "exp": now + 300})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        where = urllib.parse.urlparse(self.path)
        release = self.server.release
        body = {f"{release}/SHA256SUMS": self.server.sums, f"{release}/slipway-linux-amd64": self.server.program}.get(where.path)
        if where.path == "/oidc" and self.headers["Authorization"] == f"Bearer {REQUEST_TOKEN}":
            audience = urllib.parse.parse_qs(where.query)["audience"][0]
            body = json.dumps({"value": self.server.identify(audience)}).encode()
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


def word(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
