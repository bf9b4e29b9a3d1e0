"""Asks a running application; APP_URL says where it is."""
import os
import urllib.request


def test_application_is_healthy() -> None:
    with urllib.request.urlopen(f"{os.environ['APP_URL']}/health", timeout=5) as response:
        assert response.status == 200
