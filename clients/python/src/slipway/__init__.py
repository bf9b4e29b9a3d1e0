"""Slipway: zero-downtime deployments of Docker Compose applications.

    from slipway import Client

    with Client.from_env() as client:
        client.deploy("gifty", ".", commit="3f2c1a", on_event=print)
"""
from slipway.client import Client
from slipway.connection import TlsFiles
from slipway.errors import DeploymentFailed, SlipwayError, state_of

__all__ = ["Client", "DeploymentFailed", "SlipwayError", "TlsFiles", "state_of"]
