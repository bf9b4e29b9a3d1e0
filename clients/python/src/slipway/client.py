"""The controller, as a program sees it."""
from __future__ import annotations

import datetime
import hashlib
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from slipway import tree
from slipway.connection import Controllers, TlsFiles
from slipway.errors import DeploymentFailed, SlipwayError
from slipway.v1 import (
    access_pb2,
    access_pb2_grpc,
    applications_pb2,
    applications_pb2_grpc,
    deployments_pb2,
    deployments_pb2_grpc,
    evidence_pb2,
    hosts_pb2,
    hosts_pb2_grpc,
    releases_pb2,
    releases_pb2_grpc,
)

# Longer names are cut off: servers refuse large metadata as a whole.
_LONGEST_TEXT = 200
LOCAL_CONTROLLER = "unix:///run/slipway/controller.sock"
_CALL_SECONDS = 60.0
_UPLOAD_SECONDS = 3600.0
_ATTEMPTS = 5
_WATCH_GIVES_UP_AFTER = 60.0
# Longer than a takeover by another controller lasts.
_FAILOVER_SECONDS = 45.0


class Client:
    """Synchronous, safe from several threads. Every call has a deadline, and raises SlipwayError where it is refused or does not
    arrive; what is lost on the way is sent again under the same request id, so that nothing happens twice.

        with Client.from_env() as client:
            deployment = client.deploy("gifty", ".", commit="3f2c1a")
    """

    def __init__(self, address: str = LOCAL_CONTROLLER, *, token: str = "", tls: TlsFiles | None = None, actor: str = ""):
        """`address` names one controller, or several that share a state, separated by commas: the client finds the one that leads, and
        goes on with the next when one does not answer. `actor` is a name for the history where nothing proves another one. ValueError
        for a bad address or token."""
        self._controllers = Controllers(address, tls)
        self._metadata: list[tuple[str, str]] = []
        if token := _clean(token):
            self._metadata.append(("authorization", f"Bearer {token}"))
        if actor:
            self._metadata.append(("x-slipway-actor", _encode(actor)))
        self._access = self._controllers.stub(access_pb2_grpc.AccessServiceStub)
        self._applications = self._controllers.stub(applications_pb2_grpc.ApplicationServiceStub)
        self._deployments = self._controllers.stub(deployments_pb2_grpc.DeploymentServiceStub)
        self._hosts = self._controllers.stub(hosts_pb2_grpc.HostServiceStub)
        self._releases = self._controllers.stub(releases_pb2_grpc.ReleaseServiceStub)

    @classmethod
    def from_env(cls) -> Client:
        """By the variables that the `slipway` command goes by: SLIPWAY_CONTROLLER, SLIPWAY_TOKEN, and for tls:// SLIPWAY_AUTHORITY,
        SLIPWAY_CERTIFICATE and SLIPWAY_KEY."""
        authority, certificate, key = (os.environ.get(f"SLIPWAY_{name}") for name in ("AUTHORITY", "CERTIFICATE", "KEY"))
        tls = None
        if authority:
            tls = TlsFiles(
                pathlib.Path(authority),
                pathlib.Path(certificate) if certificate else None,
                pathlib.Path(key) if key else None,
            )
        address = os.environ.get("SLIPWAY_CONTROLLER") or LOCAL_CONTROLLER
        return cls(address, token=os.environ.get("SLIPWAY_TOKEN", ""), tls=tls, actor=os.environ.get("GITHUB_ACTOR", ""))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._controllers.close()

    # Who, what and where.

    def whoami(self) -> access_pb2.Identity:
        return self._call(self._access.GetIdentity, access_pb2.GetIdentityRequest()).identity

    def application(self, app: str) -> applications_pb2.Application:
        """What is stored of it and what its hosts were last seen to run."""
        request = applications_pb2.GetApplicationRequest(name=_application(app))
        return self._call(self._applications.GetApplication, request).application

    def applications(self) -> Iterator[applications_pb2.Application]:
        return self._pages(self._applications.ListApplications, applications_pb2.ListApplicationsRequest(), "applications")

    def hosts(self) -> Iterator[hosts_pb2.Host]:
        return self._pages(self._hosts.ListHosts, hosts_pb2.ListHostsRequest(), "hosts")

    def deployment(self, app: str, deployment: str = "-") -> deployments_pb2.Deployment:
        """Step by step; `-` is the newest one."""
        request = deployments_pb2.GetDeploymentRequest(name=f"{_application(app)}/deployments/{deployment}")
        return self._call(self._deployments.GetDeployment, request).deployment

    def deployments(self, app: str) -> Iterator[deployments_pb2.Deployment]:
        """Newest first, without their steps."""
        request = deployments_pb2.ListDeploymentsRequest(parent=_application(app))
        return self._pages(self._deployments.ListDeployments, request, "deployments")

    # What changes something.

    def apply(self, spec: applications_pb2.ApplicationSpec) -> applications_pb2.Application:
        """Stores what slipway.yaml would say."""
        request = applications_pb2.ApplyApplicationRequest(spec=spec, request_id=_request_id())
        return self._call(self._applications.ApplyApplication, request).application

    def set_environment(self, app: str, env_file: bytes) -> list[str]:
        """Replaces the env file, which is stored encrypted and delivered byte for byte; answers the variables' names."""
        request = applications_pb2.SetEnvironmentRequest(name=_application(app), env_file=env_file, request_id=_request_id())
        return list(self._call(self._applications.SetEnvironment, request).names)

    def report_check(self, app: str, check: str, *, commit: str, passed: bool, details: str = "") -> None:
        """How a check of a commit ended; policy.required_checks asks for it."""
        report = releases_pb2.Check(commit=commit, check=check, passed=passed, details=details)
        request = releases_pb2.ReportCheckRequest(parent=_application(app), check=report, request_id=_request_id())
        self._call(self._releases.ReportCheck, request)

    def upload(self, folder: str | os.PathLike[str], env_file: str = ".env") -> bytes:
        """Sends what the controller lacks of the folder, without what .slipwayignore names and without the env file; answers the
        digest that names all of it. ValueError for what a release cannot hold."""
        root = pathlib.Path(folder)
        rules = _ignore_rules(root)
        rules.add(f"/{env_file}")
        return self._send_folder(root, rules)

    def _send_folder(self, root: pathlib.Path, rules: tree.IgnoreRules) -> bytes:
        manifest = tree.scan(root, rules)
        listed = manifest.SerializeToString(deterministic=True)
        digest = hashlib.sha256(listed).digest()
        missing = self._missing(digest)
        if missing == {digest}:
            self._send(tree.chunks([listed], digest, len(listed)))
            missing = self._missing(digest)
        if missing:
            self._send(_blobs(root, manifest, missing))
        return digest

    def deploy(
        self,
        app: str,
        folder: str | os.PathLike[str] = ".",
        *,
        commit: str = "",
        commit_time: datetime.datetime | None = None,
        message: str = "",
        force: bool = False,
        hold_before_flip: bool = False,
        skip_offline: bool = False,
        wait: bool = True,
        on_event: Callable[[deployments_pb2.Event], None] | None = None,
    ) -> deployments_pb2.Deployment | None:
        """Deploys the folder, or of a site what is published of it, by the spec that is stored, and waits for its end. None: this
        release serves everywhere already.

        commit_time, with a time zone, is when the commit was made, for the lead time. With hold_before_flip it comes back paused when
        every host is prepared: resume() goes on, cancel() takes it back. With skip_offline it goes on without hosts that do not answer,
        and ends partial; they catch up later. DeploymentFailed: it ended otherwise than well, or hosts have failed and it waits for a
        person.
        """
        spec = self.application(app).spec
        create = releases_pb2.CreateReleaseRequest(
            parent=_application(app), commit=commit, description=message, request_id=_request_id()
        )
        if commit_time is not None:
            create.commit_time.FromDatetime(commit_time)
        if spec.HasField("site"):
            root = pathlib.Path(folder)
            create.manifest_digest = self._send_folder(root / spec.site.root, _ignore_rules(root))
        else:
            create.manifest_digest = self.upload(folder, spec.compose.env_file)
        release = self._call(self._releases.CreateRelease, create).release
        request = deployments_pb2.CreateDeploymentRequest(
            parent=_application(app),
            release=release.name,
            force=force,
            hold_before_flip=hold_before_flip,
            skip_offline=skip_offline,
            detached=not wait,
            request_id=_request_id(),
        )
        created = self._call(self._deployments.CreateDeployment, request)
        if created.up_to_date:
            return None
        return self._finish(created.deployment, wait, on_event)

    def rollback(
        self,
        app: str,
        *,
        release: str = "",
        wait: bool = True,
        on_event: Callable[[deployments_pb2.Event], None] | None = None,
    ) -> deployments_pb2.Deployment:
        """Back to the previous good release, or to the named one. DeploymentFailed as deploy()."""
        request = deployments_pb2.RollbackApplicationRequest(
            name=_application(app), release=release, detached=not wait, request_id=_request_id()
        )
        return self._finish(self._call(self._deployments.RollbackApplication, request).deployment, wait, on_event)

    def cancel(self, name: str) -> deployments_pb2.Deployment:
        """Asks a running deployment (its full name) to stop and undo."""
        request = deployments_pb2.CancelDeploymentRequest(name=name, request_id=_request_id())
        return self._call(self._deployments.CancelDeployment, request).deployment

    def resume(
        self,
        name: str,
        *,
        wait: bool = True,
        on_event: Callable[[deployments_pb2.Event], None] | None = None,
    ) -> deployments_pb2.Deployment:
        """Lets a paused deployment (its full name) go on. DeploymentFailed as deploy()."""
        request = deployments_pb2.ResumeDeploymentRequest(name=name, request_id=_request_id())
        resumed = self._call(self._deployments.ResumeDeployment, request).deployment
        return self._finish(resumed, wait, on_event, resumed.last_event)

    def watch(self, name: str, after: int = 0, *, attend: bool = False) -> Iterator[deployments_pb2.Event]:
        """Every event of the deployment (its full name) after that sequence number, until the one that ends it; goes on by itself
        where the connection was lost. With `attend` the deployment is the caller's own, and is not abandoned while this lasts."""
        give_up = time.monotonic() + _WATCH_GIVES_UP_AFTER
        pause = 0.1
        while True:
            try:
                request = deployments_pb2.WatchDeploymentRequest(name=name, after=after, attend=attend)
                for response in self._deployments.WatchDeployment(request, metadata=self._metadata):
                    after = response.event.sequence
                    give_up, pause = time.monotonic() + _WATCH_GIVES_UP_AFTER, 0.1
                    yield response.event
                return
            except grpc.RpcError as error:
                problem = SlipwayError.of(error)
                if not _may_pass(problem) or time.monotonic() > give_up:
                    raise problem from error
                self._controllers.move_on(problem.subject)
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    # How it is done.

    def _finish(
        self,
        deployment: deployments_pb2.Deployment,
        wait: bool,
        on_event: Callable[[deployments_pb2.Event], None] | None,
        after: int = 0,
    ) -> deployments_pb2.Deployment:
        if not wait:
            return deployment
        for event in self.watch(deployment.name, after, attend=True):
            if on_event is not None:
                on_event(event)
            # Of an earlier time, unless it still waits.
            if event.state.state == deployments_pb2.DEPLOYMENT_STATE_PAUSED and self._is_paused(deployment.name):
                break
        ended = self._get(deployment.name)
        if not _is_well(ended) and not _is_held(ended):
            raise DeploymentFailed(ended)
        return ended

    def _get(self, name: str) -> deployments_pb2.Deployment:
        request = deployments_pb2.GetDeploymentRequest(name=name)
        return self._call(self._deployments.GetDeployment, request).deployment

    def _is_paused(self, name: str) -> bool:
        return bool(self._get(name).state == deployments_pb2.DEPLOYMENT_STATE_PAUSED)

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        """Again where it did not arrive: each request has an id, or changes nothing."""
        give_up = time.monotonic() + (_FAILOVER_SECONDS if len(self._controllers) > 1 else 0.0)
        pause = 0.1
        attempt = 0
        while True:
            attempt += 1
            try:
                return method(request, timeout=_CALL_SECONDS, metadata=self._metadata)
            except grpc.RpcError as error:
                problem = SlipwayError.of(error)
                late = attempt >= _ATTEMPTS and time.monotonic() > give_up
                if not _may_pass(problem) or late:
                    raise problem from error
                self._controllers.move_on(problem.subject)
            if attempt % len(self._controllers) == 0:
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _pages(self, method: Callable[..., Any], request: Any, field: str) -> Iterator[Any]:
        while True:
            page = self._call(method, request)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _missing(self, manifest_digest: bytes) -> set[bytes]:
        request = releases_pb2.FindMissingBlobsRequest(manifest_digest=manifest_digest)
        try:
            pages = self._releases.FindMissingBlobs(
                request, timeout=_CALL_SECONDS, metadata=self._metadata, wait_for_ready=True
            )
            return {digest for page in pages for digest in page.digests}
        except grpc.RpcError as error:
            raise SlipwayError.of(error) from error

    def _send(self, chunks: Iterator[releases_pb2.UploadBlobsRequest]) -> None:
        problems: list[Exception] = []

        # gRPC tells nobody why its iterator ended.
        def heard() -> Iterator[releases_pb2.UploadBlobsRequest]:
            try:
                yield from chunks
            except (OSError, ValueError) as problem:
                problems.append(problem)
                raise

        try:
            self._releases.UploadBlobs(heard(), timeout=_UPLOAD_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            if problems:
                raise problems[0] from error
            raise SlipwayError.of(error) from error


def _application(app: str) -> str:
    return f"applications/{app}"


def _may_pass(problem: SlipwayError) -> bool:
    """It did not arrive, or another controller leads by now."""
    return problem.code == grpc.StatusCode.UNAVAILABLE or problem.reason == "NOT_LEADER"


def _is_well(deployment: deployments_pb2.Deployment) -> bool:
    """Without hosts that it was to leave out, nothing has failed."""
    succeeded = deployments_pb2.DEPLOYMENT_STATE_SUCCEEDED
    partial = deployment.state == deployments_pb2.DEPLOYMENT_STATE_PARTIAL
    return bool(deployment.state == succeeded or (partial and all(host.state == succeeded for host in deployment.rollouts)))


def _is_held(deployment: deployments_pb2.Deployment) -> bool:
    """It waits for a person because it was told to, not because hosts have failed."""
    paused = deployment.state == deployments_pb2.DEPLOYMENT_STATE_PAUSED
    return bool(paused and deployment.reason == evidence_pb2.FAILURE_REASON_UNSPECIFIED)


def _request_id() -> str:
    return uuid.uuid4().hex


def _ignore_rules(folder: pathlib.Path) -> tree.IgnoreRules:
    ignored = folder / ".slipwayignore"
    return tree.IgnoreRules(ignored.read_text(encoding="utf-8") if ignored.exists() else "")


def _blobs(
    root: pathlib.Path, manifest: releases_pb2.Manifest, missing: set[bytes]
) -> Iterator[releases_pb2.UploadBlobsRequest]:
    """Each content once, however many files have it."""
    wanted = set(missing)
    for entry in manifest.entries:
        if entry.digest in wanted:
            wanted.remove(entry.digest)
            yield from tree.chunks(tree.pieces_of(root / entry.path), entry.digest, entry.size)


def _encode(text: str) -> str:
    """As metadata may have it, which is printable ASCII: everything else percent-encoded."""
    cut = text.encode()[:_LONGEST_TEXT].decode(errors="ignore")
    encoded = "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x25 else f"%{byte:02X}" for byte in cut.encode())
    return encoded


def _clean(token: str) -> str:
    """A token as it was pasted, without white space around it. ValueError when there is any within, or what no token has."""
    token = token.strip()
    if len(token) > 4096 or not all("!" <= character <= "~" for character in token):
        raise ValueError("the token holds a space, a line break or another character that no token has; copy it anew")
    return token
