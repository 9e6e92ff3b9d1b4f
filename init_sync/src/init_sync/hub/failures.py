"""What went wrong on the way to a file, and who says so: try again, or tell the user what to change.

The sentence that a hub gives in ``X-Error-Message`` is quoted. Its codes in ``X-Error-Code`` are

    GatedRepo RepoNotFound RevisionNotFound EntryNotFound DisabledRepo

A refusal without any of them may come from something else on the way: a proxy, a filter, a mirror.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.quoting import quoted
from init_sync.hub.retry import Transient, retry_after_s

CODES = {
    "GatedRepo": Reason.GATED_REPO,
    "RepoNotFound": Reason.REPO_NOT_FOUND,
    "RevisionNotFound": Reason.REVISION_NOT_FOUND,
    "EntryNotFound": Reason.FILE_NOT_FOUND,
}

BY_STATUS = {
    401: Reason.GATED_REPO,
    403: Reason.GATED_REPO,
    404: Reason.FILE_NOT_FOUND,
    410: Reason.FILE_NOT_FOUND,
}

LOOK_AGAIN = (
    "if the pinned commit is gone from the hub, sync with --refresh, or annotate the ModelCache with "
    "modelcache.dev/resync"
)
CURES = {
    Reason.GATED_REPO: "Request access on the repository's page and provide a token that has it (HF_TOKEN)",
    Reason.TOKEN_INVALID: (
        "The token is not valid: expired, revoked, or not copied as it is. Replace it (HF_TOKEN); "
        "public repositories need none"
    ),
    Reason.REPO_NOT_FOUND: (
        "Correct the name: models only, data sets and spaces are not served. "
        "A private repository needs a token that may read it (HF_TOKEN)"
    ),
    Reason.REVISION_NOT_FOUND: f"Correct the revision (a commit has all of its 40 digits); {LOOK_AGAIN}",
    Reason.FILE_NOT_FOUND: f"Correct the manifest; {LOOK_AGAIN}",
    Reason.HUB_UNREACHABLE: "Check HF_ENDPOINT and the proxy variables",
}
ACCOUNT = (
    "Request access on the repository's page for the account of the token, and give a fine-grained token (HF_TOKEN) "
    "the permission to read gated repositories"
)
DISABLED = "The hub has disabled this repository. Name another one in the manifest"
IN_BETWEEN = (
    "That is no answer of a hub: a proxy, filter or mirror on the way refuses. Ask those who run it to let requests "
    "through, or check HF_ENDPOINT and the proxy variables"
)
AUTHENTICATE = "The proxy asks for a user and password. Give them in its variable, as http://USER:PASSWORD@HOST:PORT"
OTHER_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response with status 400 or more, as far as it says who refuses what."""

    status: int
    headers: Mapping[str, str]
    host: str
    with_token: bool

    @property
    def code(self) -> str:
        return self.headers.get("X-Error-Code") or ""

    @property
    def said(self) -> str:
        return self.headers.get("X-Error-Message") or ""

    @property
    def is_page(self) -> bool:
        """A page for people, as proxies and filters give; hubs answer with JSON or text, and with their headers."""
        kind = (self.headers.get("Content-Type") or "").lower()
        return "html" in kind and not self.code and not self.said

    def __str__(self) -> str:
        text = f"{self.host} answered {self.status}"
        if self.code:
            text += f" {quoted(self.code, 40)}"
        if self.said:
            text += f' ("{quoted(self.said)}")'
        if self.is_page:
            server = quoted(self.headers.get("Server") or "not named", 40)
            text += f" with a page of its own (HTML, server: {server})"
        return text


def failure(
    status: int, headers: Mapping[str, str], doing: str, host: str = "the hub", with_token: bool = False
) -> Exception:
    """The exception to raise for a status of 400 or more; ``doing`` begins its message ("listing a/b at main").

    ``host`` is who answered, ``with_token`` whether the request had a token.
    """
    refused = Refusal(status, headers, host, with_token)
    if status == 429:
        cause = f"{doing}: {refused} (too many requests)"
        return Transient(Reason.RATE_LIMITED, cause, retry_after_s(headers) or None)
    if status == 408 or status >= 500:
        return Transient(Reason.HUB_UNREACHABLE, f"{doing}: {refused}", retry_after_s(headers) or None)
    reason, cure = _sorted(refused)
    return NeedsChange(reason, f"{doing}: {refused}. {cure}")


def refusal(reason: Reason, doing: str, answer: str) -> NeedsChange:
    """A failure that no retry will cure, with what to do about it."""
    return NeedsChange(reason, f"{doing}: {answer}. {CURES[reason]}")


def proxy_refusal(proxy: str, target: str, status: int, headers: Mapping[str, str]) -> Exception:
    """The exception to raise when a proxy does not connect to ``target``."""
    doing, answer = f"connecting to {target}", f"{proxy} answered {status}"
    if status == 429 or status >= 500:
        return Transient(Reason.HUB_UNREACHABLE, f"{doing}: {answer}", retry_after_s(headers))
    cure = AUTHENTICATE if status == 407 else "Ask those who run it to allow this host, or name the host in NO_PROXY"
    return NeedsChange(Reason.HUB_UNREACHABLE, f"{doing}: {answer}. {cure}")


def refused_redirect(doing: str, host: str, problem: str) -> NeedsChange:
    """A redirect that is not followed."""
    cure = "Check HF_ENDPOINT, and the addresses that the server behind it gives"
    return NeedsChange(Reason.HUB_UNREACHABLE, f"{doing}: a redirect of {host} {problem}. {cure}")


def untrusted_certificate(host: str, cause: str, environment: Mapping[str, str]) -> NeedsChange:
    """Waiting makes no certificate valid. Variables of other clients are named when they are set."""
    others = [name for name in OTHER_BUNDLES if environment.get(name)]
    unread = f" (not read: {', '.join(others)})" if others else ""
    cure = f"Name a file with the CA that signed it in SSL_CERT_FILE{unread}, or correct the certificate"
    message = f"connecting to {host}: its certificate cannot be verified ({quoted(cause)}). {cure}"
    return NeedsChange(Reason.HUB_UNREACHABLE, message)


def _sorted(refused: Refusal) -> tuple[Reason, str]:
    """The reason and the cure; the first rule that fits."""
    if refused.status == 407:
        return Reason.HUB_UNREACHABLE, AUTHENTICATE
    if refused.code == "DisabledRepo" or "is disabled" in refused.said:
        return Reason.REPO_NOT_FOUND, DISABLED
    if refused.code in CODES:
        reason = CODES[refused.code]
    elif refused.is_page and refused.status != 401:
        return Reason.HUB_UNREACHABLE, IN_BETWEEN
    elif refused.status == 401 and (refused.with_token or "invalid credentials" in refused.said.lower()):
        reason = Reason.TOKEN_INVALID
    else:
        reason = BY_STATUS.get(refused.status, Reason.HUB_UNREACHABLE)
    if reason is Reason.GATED_REPO and refused.with_token:
        return reason, ACCOUNT
    return reason, CURES[reason]
