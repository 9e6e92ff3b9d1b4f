"""The hub as a sync sees it: listings, and the addresses and headers for files.

``huggingface_hub`` gives endpoint and token; its requests are sent by our own connections (``library``). It is imported
when the first listing is needed, never on a warm start.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from init_sync import __version__
from init_sync.core.crosscheck import Inconsistent
from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.listing import Listing
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.core.settings import Settings
from init_sync.hub.api_request import ApiRequests
from init_sync.hub.attempts import Attempts
from init_sync.hub.environment import refuse_wrong_environment
from init_sync.hub.library import client
from init_sync.hub.lister import Lister
from init_sync.hub.response import describe
from init_sync.hub.source import Source

LIBRARY = "init-sync"
"""How requests name us."""


class Hub:
    """A Hugging Face hub, or a mirror of one: the endpoint that HF_ENDPOINT names."""

    def __init__(self, settings: Settings, stop: threading.Event, on_error: Callable[[Reason], None]) -> None:
        self._on_error = on_error
        self._settings = settings
        self._stop = stop
        self._endpoint: str | None = None

    @property
    def endpoint(self) -> str:
        if self._endpoint is None:
            self._endpoint = self._set_up()
        return self._endpoint

    def file_url(self, repo: str, commit: str, path: str) -> str:
        """Where the bytes of a file are asked for; the hub redirects large ones to a signed URL elsewhere."""
        from urllib.parse import quote

        return f"{self.endpoint}/{repo}/resolve/{commit}/{quote(path)}"

    def sources(self, files: Iterable[RequiredFile]) -> Iterator[Source]:
        """Where the bytes of each file come from."""
        headers = self.headers()
        for file in files:
            url = self.file_url(file.repo, file.commit, file.source)
            yield Source(url, headers, file.size, f"{file.source} of {file.repo}")

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
        if self._endpoint is not None:
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
        """Resolve ``revision`` to a commit and list every file there.

        Raises:
            NeedsChange: repository or revision not there, access refused.
            TryAgain: the hub stayed away for ``give_up_s``, or contradicts itself.
        """
        doing = f"listing {repo} at {revision}"
        endpoint = self.endpoint  # importing the library is not the hub's fault and must not use up its time
        from huggingface_hub import get_session

        attempts = Attempts(doing, endpoint, self._settings, self._stop, self._on_error)
        requests = ApiRequests(get_session, self.headers, doing)
        try:
            return Lister(requests, attempts, endpoint, repo, revision, doing).listing()
        except Inconsistent as error:
            raise TryAgain(
                Reason.LISTING_INCONSISTENT, f"{doing}: {error}. Try again later, or name another hub in HF_ENDPOINT"
            ) from error

    def _set_up(self) -> str:
        """Prepare the library's HTTP client; returns the endpoint."""
        refuse_wrong_environment(os.environ)
        if not os.environ.get("HF_ENDPOINT"):
            os.environ.pop("HF_ENDPOINT", None)  # the library takes an empty one for an address
        # Read by the library when it is imported, so set before; what the user set is kept.
        for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
            os.environ.setdefault(name, "1")
        from huggingface_hub import constants, set_client_factory
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: F401  # before time counts

        if constants.is_offline_mode():
            raise TryAgain(
                Reason.HUB_UNREACHABLE, "asking the hub: HF_HUB_OFFLINE is set. Unset it to let files be fetched"
            )
        set_client_factory(partial(client, self._settings.stall_timeout_s))
        return constants.ENDPOINT
