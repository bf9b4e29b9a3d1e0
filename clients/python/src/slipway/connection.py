"""Where the controller is and how to get there.

unix:///run/slipway/controller.sock   a socket of this machine
tls://deploy.example.org:9781         TLS with a certificate of one's own, or with a token
https://deploy.example.org            through a web server with a certificate of its own, with a token
"""
from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import Any

import grpc

# The name in the controller's certificate, wherever it runs; no other certificate of its authority has one.
CONTROLLER = "slipway-controller"
TLS_PORT = 9781
HTTPS_PORT = 443

_OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 << 20),
]


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files. Without a certificate and key a token says who calls."""

    authority: pathlib.Path
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None


def dial(address: str, tls: TlsFiles | None = None) -> grpc.Channel:
    """A channel, which connects with its first call and reconnects by itself.

    ValueError: not an address of the forms above, or tls:// without an authority.
    """
    if match := re.fullmatch(r"unix://(/[^\x00-\x1f]{1,106})", address):
        return grpc.insecure_channel(f"unix:{match[1]}", options=_OPTIONS)
    match = re.fullmatch(r"(tls|https)://([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?", address)
    if match is None:
        raise ValueError(f"'{address}' is no address of a controller: write unix:///SOCKET, tls://HOST:PORT or https://HOST")
    scheme, host, port = match.groups()
    if scheme == "https":
        roots = tls.authority.read_bytes() if tls else None
        return grpc.secure_channel(f"{host}:{port or HTTPS_PORT}", grpc.ssl_channel_credentials(roots), options=_OPTIONS)
    if tls is None:
        raise ValueError(f"{address} needs the certificate of the controller's authority (SLIPWAY_AUTHORITY)")
    if (tls.certificate is None) != (tls.key is None):
        raise ValueError("a certificate and its key go together: one of them is missing")
    credentials = grpc.ssl_channel_credentials(
        tls.authority.read_bytes(),
        tls.key.read_bytes() if tls.key else None,
        tls.certificate.read_bytes() if tls.certificate else None,
    )
    target = f"{host}:{port or TLS_PORT}"
    return grpc.secure_channel(target, credentials, options=[*_OPTIONS, ("grpc.ssl_target_name_override", CONTROLLER)])


class Controllers:
    """One controller, or several that share a state: the one that is asked, and which is asked next when it does not answer or
    another one leads."""

    def __init__(self, addresses: str, tls: TlsFiles | None = None):
        """Separated by commas. ValueError as dial()."""
        self._addresses = addresses.split(",")
        self._channels = [dial(address, tls) for address in self._addresses]
        self._present = 0

    def __len__(self) -> int:
        return len(self._channels)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def stub(self, make: Callable[[grpc.Channel], Any]) -> Any:
        """A stub whose calls go to the present one."""
        return _Stub(self, [make(channel) for channel in self._channels])

    def present(self) -> int:
        return self._present

    def move_on(self, leader: str) -> None:
        """To the one of this address, if it is one of ours, else to the next."""
        known = leader in self._addresses
        self._present = self._addresses.index(leader) if known else (self._present + 1) % len(self._channels)


class _Stub:
    def __init__(self, controllers: Controllers, stubs: list[Any]):
        self._controllers = controllers
        self._stubs = stubs

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(self._stubs[self._controllers.present()], method)(*arguments, **options)

        return call
