"""Listing a repository at a revision, through ``huggingface_hub``.

The library is imported when the first listing is needed, never on a warm start. What it lacks is added around it:
a timeout on every call, retries that tell what they wait for, and an end to them.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from init_sync import __version__
from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.core.settings import Settings
from init_sync.hub.deadline import within
from init_sync.hub.environment import refuse_wrong_environment
from init_sync.hub.failures import failure, refusal
from init_sync.hub.library import client
from init_sync.hub.origin import origin
from init_sync.hub.response import describe
from init_sync.hub.retry import Patience, Transient
from init_sync.hub.source import Source
from init_sync.volume.hashing import GIT_SHA1, SHA256

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")

log = logging.getLogger(__name__)

LIBRARY = "init-sync"
"""How requests name us."""

COMMIT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
"""40 hexadecimal digits on the hub; mirrors may have names of their own, but it becomes part of addresses."""
HASH = re.compile(r"[0-9A-Fa-f]{1,128}")
MAX_INLINE_FILES = 50_000
"""Above this, the hub's one-request answer may leave files out; the paged tree does not."""


class Hub:
    """A Hugging Face hub, or a mirror of one: the endpoint that HF_ENDPOINT names."""

    def __init__(self, settings: Settings, stop: threading.Event, on_error: Callable[[Reason], None]) -> None:
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

    def source(self, file: RequiredFile) -> Source:
        """Where the bytes of a file come from."""
        url = self.file_url(file.repo, file.commit, file.source)
        return Source(url, self.headers(), file.size, f"{file.source} of {file.repo}")

    def headers(self) -> dict[str, str]:
        """Headers for the hub itself: who asks, and the token. Never for another origin."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not in its typing

        try:
            headers: dict[str, str] = build_hf_headers(library_name=LIBRARY, library_version=__version__)
        except (OSError, UnicodeError) as error:  # the file that holds the token, by default in HF_HOME
            cause = f"the token file cannot be read ({describe(error)}). Correct HF_TOKEN_PATH or HF_HOME"
            raise NeedsChange(Reason.TOKEN_INVALID, f"asking the hub: {cause}") from error
        return headers

    def close(self) -> None:
        """Close the connection that listing left open, so that the cap on connections holds."""
        if self._api is not None:
            from huggingface_hub import close_session

            close_session()

    def find(self, repo: str, revision: str) -> Listing | None:
        """Like ``listing``, but None when the repository has no such revision."""
        try:
            return self.listing(repo, revision)
        except NeedsChange as error:
            if error.reason is Reason.REVISION_NOT_FOUND:
                return None
            raise

    def listing(self, repo: str, revision: str) -> Listing:
        """Resolve ``revision`` to a commit and list every file there, in one request as a rule.

        Raises:
            NeedsChange: repository or revision not there, access refused.
            TryAgain: the hub stayed away for ``give_up_s``.
        """
        doing = f"listing {repo} at {revision}"
        self._client()  # importing the library is not the hub's fault and must not use up its time
        commit, files = self._patiently(doing, lambda: self._short_listing(repo, revision))
        if files is None:
            files = self._tree(repo, commit, doing)
        return Listing(repo, revision, commit, tuple(sorted(files, key=lambda file: file.path)))

    def _short_listing(self, repo: str, revision: str) -> tuple[str, list[RemoteFile] | None]:
        """The commit and its files; None for the files when this answer does not tell them well enough."""
        timeout_s = self._settings.stall_timeout_s
        info = self._client().model_info(repo, revision=revision, files_metadata=True, timeout=timeout_s)
        siblings = info.siblings or []
        if info.sha is None or not COMMIT.fullmatch(info.sha):
            raise ValueError(f"no commit in the answer, but {info.sha!r}")
        if len(siblings) >= MAX_INLINE_FILES:
            return info.sha, None
        if any(each.size is None or not (each.blob_id or each.lfs) for each in siblings):
            return info.sha, None
        files = [
            remote_file(each.rfilename, each.size, each.blob_id, each.lfs.sha256 if each.lfs else None)
            for each in siblings
        ]
        return info.sha, files

    def _tree(self, repo: str, commit: str, doing: str) -> list[RemoteFile]:
        """The paged listing: for very large repositories, and for mirrors that leave sizes out of the short one.

        Not by ``HfApi.list_repo_tree``, which retries and waits on its own, deaf to our limits.
        """
        url: str | None = f"{self.endpoint}/api/models/{repo}/tree/{commit}?recursive=true"
        files: list[RemoteFile] = []
        while url:
            found, url = self._patiently(doing, partial(self._page, url))
            files += found
        return files

    def _page(self, url: str) -> tuple[list[RemoteFile], str | None]:
        from huggingface_hub import get_session
        from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # public too

        if origin(url) != origin(self.endpoint):
            raise ValueError("the next page is elsewhere")  # the token must not go there
        response = get_session().get(url, headers=self.headers())
        hf_raise_for_status(response)
        files = [
            remote_file(each["path"], each["size"], each["oid"], (each.get("lfs") or {}).get("oid"))
            for each in response.json()
            if each["type"] == "file"
        ]
        return files, response.links.get("next", {}).get("url")

    def _patiently(self, doing: str, call: Callable[[], T]) -> T:
        """Try until it works, a refusal says that it never will, or patience is over."""
        patience = Patience(self._settings.give_up_s)
        failures = 0
        while True:
            try:
                return self._attempt(doing, call)
            except Transient as error:
                failures += 1
                self._on_error(error.reason)
                delay = patience.delay_s(error, failures)
                log.warning("%s; trying again in %.1f s", error.message, delay)
                if self._stop.wait(delay):
                    raise TryAgain(error.reason, f"{error.message}; interrupted") from error

    def _attempt(self, doing: str, call: Callable[[], T]) -> T:
        from httpx2 import HTTPError, TimeoutException
        from huggingface_hub import errors

        try:
            return within(self._settings.give_up_s, call)
        except Transient as error:
            raise Transient(error.reason, f"{doing}: {error.message}", error.retry_after_s) from error
        except errors.HfHubHTTPError as error:
            raise self._answered(error, doing) from error
        except (TimeoutException, TimeoutError) as error:
            waited = f"no answer from {self.endpoint} in time"
            raise Transient(Reason.STALLED, f"{doing}: {waited}") from error
        except (HTTPError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise Transient(Reason.HUB_UNREACHABLE, f"{doing}: no connection to {self.endpoint} ({cause})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Transient(
                Reason.HUB_UNREACHABLE,
                f"{doing}: {self.endpoint} does not answer like a hub ({error}). Check HF_ENDPOINT",
            ) from error

    def _answered(self, error: HfHubHTTPError, doing: str) -> Exception:
        response = error.response
        if response.status_code == 404 and "X-Error-Code" not in response.headers:
            return refusal(Reason.REPO_NOT_FOUND, doing, "the hub answered 404")
        with_token = "authorization" in response.request.headers
        return failure(response.status_code, response.headers, doing, with_token=with_token)

    def _client(self) -> HfApi:
        if self._api is None:
            refuse_wrong_environment(os.environ)
            if not os.environ.get("HF_ENDPOINT"):
                os.environ.pop("HF_ENDPOINT", None)  # the library takes an empty one for an address
            # Read by the library when it is imported, so set before; what the user set is kept.
            for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
                os.environ.setdefault(name, "1")
            from huggingface_hub import HfApi, constants, set_client_factory

            if constants.is_offline_mode():
                raise TryAgain(
                    Reason.HUB_UNREACHABLE, "asking the hub: HF_HUB_OFFLINE is set. Unset it to let files be fetched"
                )
            set_client_factory(partial(client, self._settings.stall_timeout_s))
            self._api = HfApi(library_name=LIBRARY, library_version=__version__)
        return self._api


def remote_file(path: object, size: object, blob_id: object, sha256: object) -> RemoteFile:
    """Raises ValueError for what no hub says: the answer may come from anything that sits at that address."""
    content = sha256 or blob_id
    if not (isinstance(path, str) and path and isinstance(content, str) and HASH.fullmatch(content)):
        raise ValueError(f"a file named {path!r} with hash {content!r} is listed")
    path.encode()  # half a surrogate pair is no name either: UnicodeEncodeError is a ValueError
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{path!r} is listed with size {size!r}")
    return RemoteFile(path, size, f"{SHA256 if sha256 else GIT_SHA1}:{content}")
