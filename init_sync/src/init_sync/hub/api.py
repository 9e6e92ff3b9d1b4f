"""Listing a repository at a revision, through ``huggingface_hub``.

The library is imported when the first listing is needed, never on a warm start. What it lacks is added around it:
a timeout on every call, retries that tell what they wait for, and an end to them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from init_sync import __version__
from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.reasons import Reason
from init_sync.core.settings import Settings
from init_sync.hub.failures import failure, refusal
from init_sync.hub.retry import Patience, Transient
from init_sync.volume.contents import GIT_SHA1, SHA256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = logging.getLogger(__name__)

LIBRARY = "init-sync"
"""How requests name us."""

MAX_INLINE_FILES = 50_000
"""Above this, the hub's one-request answer may leave files out; the paged tree does not."""


class Hub:
    """A Hugging Face hub, or a mirror of one: the endpoint that HF_ENDPOINT names."""

    def __init__(
        self, settings: Settings, stop: threading.Event, on_error: Callable[[Reason], None] = lambda reason: None
    ) -> None:
        self._on_error = on_error
        self._settings = settings
        self._stop = stop
        self._api: HfApi | None = None

    @property
    def endpoint(self) -> str:
        return self._client().endpoint

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """Where the bytes of a file are asked for; the hub redirects large ones to a signed URL elsewhere."""
        from urllib.parse import quote

        return f"{self.endpoint}/{repo}/resolve/{commit}/{quote(path)}"

    def headers(self) -> dict[str, str]:
        """Headers for the hub itself: who asks, and the token. Never for another origin."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not in its typing

        headers: dict[str, str] = build_hf_headers(library_name=LIBRARY, library_version=__version__)
        return headers

    def find(self, repo: str, revision: str) -> Listing | None:
        """Like ``list``, but None when the repository has no such revision."""
        try:
            return self.list(repo, revision)
        except NeedsChange as error:
            if error.reason is Reason.REVISION_NOT_FOUND:
                return None
            raise

    def list(self, repo: str, revision: str) -> Listing:
        """Resolve ``revision`` to a commit and list every file there, in one request as a rule.

        Raises:
            NeedsChange: repository or revision not there, access refused.
            TryAgain: the hub stayed away for ``give_up_s``.
        """
        doing = f"listing {repo} at {revision}"
        patience = Patience(self._settings.give_up_s)
        failures = 0
        while True:
            try:
                return self._list_once(repo, revision, doing)
            except Transient as error:
                failures += 1
                self._on_error(error.reason)
                delay = patience.delay_s(error, failures)
                log.warning("%s; trying again in %.1f s", error.message, delay)
                if self._stop.wait(delay):
                    raise TryAgain(error.reason, f"{error.message}; interrupted") from error

    def _list_once(self, repo: str, revision: str, doing: str) -> Listing:
        from httpx2 import HTTPError, TimeoutException
        from huggingface_hub import errors

        typed = (
            (errors.GatedRepoError, Reason.GATED_REPO),
            (errors.RepositoryNotFoundError, Reason.REPO_NOT_FOUND),
            (errors.RevisionNotFoundError, Reason.REVISION_NOT_FOUND),
        )
        try:
            return self._request(repo, revision)
        except errors.HfHubHTTPError as error:
            answer = f"the hub answered {error.response.status_code}"
            for kind, reason in typed:
                if isinstance(error, kind):
                    raise refusal(reason, doing, answer) from error
            raise failure(error.response.status_code, error.response.headers, doing) from error
        except TimeoutException as error:
            waited = f"no answer within {self._settings.stall_timeout_s:g} s from {self.endpoint}"
            raise Transient(Reason.STALLED, f"{doing}: {waited}") from error
        except (HTTPError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise Transient(Reason.HUB_UNREACHABLE, f"{doing}: no connection to {self.endpoint} ({cause})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Transient(
                Reason.HUB_UNREACHABLE,
                f"{doing}: {self.endpoint} does not answer like a hub ({error}); see HF_ENDPOINT",
            ) from error

    def _request(self, repo: str, revision: str) -> Listing:
        info = self._client().model_info(
            repo, revision=revision, files_metadata=True, timeout=self._settings.stall_timeout_s
        )
        siblings = info.siblings or []
        if info.sha is None:
            raise ValueError("no commit in the answer")
        if len(siblings) < MAX_INLINE_FILES and all(
            each.size is not None and (each.blob_id or each.lfs) for each in siblings
        ):
            files: Iterator[RemoteFile] = (
                _remote_file(each.rfilename, each.size, each.blob_id, each.lfs) for each in siblings
            )
        else:
            files = self._tree(repo, info.sha)
        return Listing(repo, revision, info.sha, tuple(sorted(files, key=lambda file: file.path)))

    def _tree(self, repo: str, commit: str) -> Iterator[RemoteFile]:
        """The paged listing: for very large repositories, and for mirrors that leave sizes out of the short one."""
        from huggingface_hub.hf_api import RepoFile

        entries = self._client().list_repo_tree(repo, recursive=True, revision=commit)
        return (
            _remote_file(each.path, each.size, each.blob_id, each.lfs) for each in entries if isinstance(each, RepoFile)
        )

    def _client(self) -> HfApi:
        if self._api is None:
            # Read by the library when it is imported, so set before; what the user set is kept.
            for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
                os.environ.setdefault(name, "1")
            from huggingface_hub import HfApi, constants, set_client_factory

            if constants.is_offline_mode():
                raise TryAgain(
                    Reason.HUB_UNREACHABLE, "asking the hub: HF_HUB_OFFLINE is set. Unset it to let files be fetched"
                )
            set_client_factory(_client_factory(self._settings.stall_timeout_s))
            self._api = HfApi(library_name=LIBRARY, library_version=__version__)
        return self._api


def _remote_file(path: str, size: int | None, blob_id: str | None, lfs: Any) -> RemoteFile:
    content_id = f"{SHA256}:{lfs['sha256']}" if lfs else f"{GIT_SHA1}:{blob_id}"
    return RemoteFile(path, int(size or 0), content_id)


def _client_factory(timeout_s: float) -> Callable[[], Any]:
    """HTTP clients in which no call can wait for ever; the library's own have no timeout on listings."""

    def limit(request: Any) -> None:
        # The library passes timeout=None on some calls, which means "for ever" and overrules the client's default.
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            kind: asked.get(kind) or timeout_s for kind in ("connect", "read", "write", "pool")
        }

    def factory() -> Any:
        from httpx2 import Client

        return Client(event_hooks={"request": [limit]}, follow_redirects=True, timeout=timeout_s)

    return factory
