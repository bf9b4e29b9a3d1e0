#!/usr/bin/env python3
"""Tokens from an open network through nginx, as docs/open-network.md sets it up, and floods by strangers: at nginx, and at a TLS port of
the controller's own. Operators go on all the while."""
import contextlib
import multiprocessing
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time

import lone_controller

sys.path.insert(0, os.environ["SLIPWAY_PYTHON_CLIENT"])
import slipway  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "open-network.md"
FLOOD_SECONDS = 8
CONNECTIONS = 32
run = lone_controller.run


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds}s for: {what}")
        time.sleep(0.02)


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def make_certificate(folder):
    """An authority, and a certificate for localhost."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=web",
        "-keyout", "ca.key", "-out", "ca.pem", cwd=folder)
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
        "-keyout", "web.key", "-out", "web.csr", cwd=folder)
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    run("openssl", "x509", "-req", "-in", "web.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "web.pem", cwd=folder)


def site_of_page(folder, port):
    """The page's nginx file, for this machine."""
    site = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    for before, after in (("listen 443 ", f"listen 127.0.0.1:{port} "), ("deploy.example.org;", "localhost;"),
                          ("/etc/letsencrypt/live/deploy.example.org/fullchain.pem", f"{folder}/web.pem"),
                          ("/etc/letsencrypt/live/deploy.example.org/privkey.pem", f"{folder}/web.key"),
                          ("/run/slipway/api.sock", f"{folder}/token.sock")):
        assert before in site, f"the page has no {before!r}"
        site = site.replace(before, after)
    return site


@contextlib.contextmanager
def web_server(folder, port):
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn; worker_processes 1;\n"
        "events { worker_connections 1024; }\nhttp {\n access_log off;\n"
        + "".join(f" {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + site_of_page(folder, port) + "}\n")
    # Its workers' user must reach the socket.
    os.chmod(folder, 0o755)
    process = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf"])
    try:
        until(lambda: accepts(port), "nginx")
        yield
    finally:
        process.terminate()
        process.wait(20)


def handshake(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5))


def frame(kind, flags, stream, body):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def endless_headers(port, end):
    """A header of 1 GiB is announced and sent in small frames; again when the server ends the connection."""
    length, rest = b"\x7f", (1 << 30) - 127
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(4, 1, 0, b"")
    start += frame(1, 0, 1, b"\x00" + length + bytes([rest]))
    while time.monotonic() < end:
        try:
            with handshake(port) as connection:
                connection.sendall(start)
                while time.monotonic() < end:
                    connection.sendall(frame(9, 0, 1, b"x" * 64) * 20)
        except OSError:
            time.sleep(0.01)


def silent_connections(port, end):
    """As many as there can be, held to the end."""
    held = []
    while time.monotonic() < end:
        try:
            held.append(socket.create_connection(("127.0.0.1", port), timeout=1))
        except OSError:
            time.sleep(0.05)
        if len(held) > 400:
            held.pop(0).close()


def flood(attack, port):
    """Processes that attack, until they have ended."""
    end = time.monotonic() + FLOOD_SECONDS
    attackers = [multiprocessing.Process(target=attack, args=(port, end)) for _ in range(CONNECTIONS)]
    for attacker in attackers:
        attacker.start()
    return attackers


def operators_while(folder, attackers):
    """How long calls take on the operators' socket until the attackers have ended: on one connection, and each on a new one."""
    times = []
    with slipway.Client(f"unix://{folder}/controller.sock") as kept:
        while any(attacker.is_alive() for attacker in attackers):
            for fresh in (False, True):
                start = time.monotonic()
                if fresh:
                    with slipway.Client(f"unix://{folder}/controller.sock") as client:
                        client.whoami()
                else:
                    kept.whoami()
                times.append(time.monotonic() - start)
    for attacker in attackers:
        attacker.join()
    times.sort()
    return times[len(times) * 99 // 100], times[-1], len(times)


def through_nginx(folder, port, secret):
    """Calls, an upload and an error by https://, with both clients."""
    environment = dict(os.environ, SLIPWAY_CONTROLLER=f"https://localhost:{port}", SLIPWAY_AUTHORITY=f"{folder}/ca.pem")
    seen = run(lone_controller.CLI, "whoami", env=dict(environment, SLIPWAY_TOKEN=secret))
    assert "gifty" in seen, seen
    refused = subprocess.run([lone_controller.CLI, "whoami"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 8 and "SLIPWAY_TOKEN" in refused.stderr, refused
    stranger = subprocess.run([lone_controller.CLI, "whoami"], env=dict(environment, SLIPWAY_AUTHORITY="", SLIPWAY_TOKEN=secret),
                              capture_output=True, text=True, timeout=60, check=False)
    assert stranger.returncode == 7, f"a web server whose certificate nobody trusts was spoken with: {stranger}"
    files = folder / "files"
    files.mkdir(exist_ok=True)
    (files / "large").write_bytes(os.urandom(16 << 20))
    tls = slipway.TlsFiles(folder / "ca.pem")
    with slipway.Client(f"https://localhost:{port}", token=secret, tls=tls) as client:
        client.upload(files)
        assert client.application("gifty").spec.app == "gifty"


def by_certificate(folder, port):
    """A person's way in by the TLS port."""
    operators = f"unix://{folder}/controller.sock"
    if not (folder / "ann.pem").exists():
        run(lone_controller.CLI, "--controller", operators, "certificate", "create", "ann", "--folder", str(folder))
    made = {path.suffix: path for path in folder.glob("ann*")}
    return run(lone_controller.CLI, "--controller", f"tls://127.0.0.1:{port}", "--authority", f"{folder}/state/tls/authority.pem",
               "--certificate", str(made.get(".pem", made.get(".crt"))), "--key", str(made[".key"]), "whoami")


def main():
    web, own = free_port(), free_port()
    problems = []
    with lone_controller.controller(f"tls: {{listen: '127.0.0.1:{own}'}}\n", descriptors=512) as folder:
        make_certificate(folder)
        operators = f"unix://{folder}/controller.sock"
        token = run(lone_controller.CLI, "--controller", operators, "token", "create", "ci", "--app", "gifty", "--output", "json")
        secret = re.search(r"slipway_[0-9A-Za-z_-]+", token)[0]
        with web_server(folder, web):
            through_nginx(folder, web, secret)
            by_certificate(folder, own)
            for name, attack, port in (("headers without end at nginx", endless_headers, web),
                                       ("headers without end at the TLS port", endless_headers, own),
                                       ("silent connections at nginx", silent_connections, web),
                                       ("silent connections at the TLS port", silent_connections, own)):
                p99, worst, calls = operators_while(folder, flood(attack, port))
                print(f"{name}: {calls} calls of operators, p99 {p99 * 1000:.0f} ms, slowest {worst * 1000:.0f} ms", flush=True)
                if p99 > 1 or calls < 20:
                    problems.append(f"{name}: p99 {p99:.2f}s of {calls} calls")
                # Both ways are open afterwards.
                through_nginx(folder, web, secret)
                by_certificate(folder, own)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
