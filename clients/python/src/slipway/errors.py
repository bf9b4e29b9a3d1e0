"""What goes wrong, as the controller says it."""
from __future__ import annotations

import grpc

from slipway.v1 import deployments_pb2, errors_pb2, status_details_pb2


class SlipwayError(Exception):
    """A call that was refused or did not arrive.

    code:   gRPC's, such as grpc.StatusCode.PERMISSION_DENIED
    reason: stable, UPPER_SNAKE_CASE; empty where the controller did not answer
    cure:   what to do about it; may be empty
    """

    def __init__(self, code: grpc.StatusCode, message: str, reason: str = "", cure: str = "", subject: str = ""):
        super().__init__(message if not cure else f"{message}\n  what to do: {cure}")
        self.code = code
        self.message = message
        self.reason = reason
        self.cure = cure
        self.subject = subject

    @classmethod
    def of(cls, error: grpc.RpcError) -> SlipwayError:
        detail = errors_pb2.ErrorDetail()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for one in status_details_pb2.StatusDetails.FromString(value).details:
                    one.Unpack(detail)
        return cls(error.code(), error.details() or "", detail.reason, detail.cure, detail.subject)


class DeploymentFailed(Exception):
    """A deployment that ended otherwise than well; `deployment` says how, and what is true now."""

    def __init__(self, deployment: deployments_pb2.Deployment):
        super().__init__(deployment.message)
        self.deployment = deployment

    @property
    def state(self) -> str:
        """failed, rolled_back, cancelled, needs_attention, partial; paused where it waits for a person because hosts have failed"""
        return state_of(self.deployment)


def state_of(deployment: deployments_pb2.Deployment) -> str:
    """The state as people write it: running, succeeded, rolled_back ..."""
    name: str = deployments_pb2.DeploymentState.Name(deployment.state)
    return name.removeprefix("DEPLOYMENT_STATE_").lower()
