"""The listing of one repository: described, then read page by page, then compared.

Two requests for a repository of up to 1,000 files, one more for each further 1,000. The description is asked for
without sizes and hashes, which cost the hub a look at every file: they come with the pages.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

from init_sync.core.content_id import is_commit
from init_sync.core.crosscheck import FULL_PAGE, Inconsistent, Page, Tree, check_short_listing
from init_sync.core.errors import NeedsChange
from init_sync.core.listing import Listing
from init_sync.core.reasons import Reason
from init_sync.hub.answers import Description, next_page, read_description, read_page, repo_commit
from init_sync.hub.api_request import ApiRequests, PathMissing
from init_sync.hub.attempts import Attempts
from init_sync.hub.retry import Transient

log = logging.getLogger(__name__)

MAX_PAGES = 1_000
NOT_THERE = (Reason.REPO_NOT_FOUND, Reason.REVISION_NOT_FOUND, Reason.FILE_NOT_FOUND)


class Lister:
    """Lists one repository at one revision, once."""

    def __init__(
        self, requests: ApiRequests, attempts: Attempts, endpoint: str, repo: str, revision: str, doing: str
    ) -> None:
        self._requests = requests
        self._attempts = attempts
        self._endpoint = endpoint
        self._repo = repo
        self._revision = revision
        self._doing = doing

    def listing(self) -> Listing:
        """Raises NeedsChange, TryAgain, or Inconsistent."""
        described = self._described()
        files = self._tree(described).files
        return Listing(
            self._repo, self._revision, described.commit, tuple(files[path] for path in sorted(files)), checked=True
        )

    def _described(self) -> Description:
        try:
            described = self._attempts.run(self._describe, otherwise=self._resolved_by_tree)
        except PathMissing:
            found = self._resolved_by_tree()
            if found is None:
                raise
            described = found
        if is_commit(self._revision) and described.commit.lower() != self._revision:
            raise Inconsistent(f"commit {self._revision} was asked for, commit {described.commit} is described")
        return described

    def _describe(self) -> Description:
        answer = self._requests.get(self._url("revision", self._revision))
        described = read_description(answer.data)
        self._attempts.received(answer.size)
        return described

    def _resolved_by_tree(self) -> Description | None:
        """The commit by another way, for a hub that has the pages but does not describe the repository."""
        if is_commit(self._revision):
            return Description(self._revision)
        try:
            commit = self._attempts.once(self._commit_of_tree)
        except (Transient, PathMissing):
            return None
        return Description(commit) if commit else None

    def _commit_of_tree(self) -> str | None:
        """Named by the head of a page, or by that of one of its files."""
        answer = self._requests.get(self._url("tree", self._revision) + "?recursive=true")
        files = read_page(answer.data).files
        if (commit := repo_commit(answer.headers)) or not files:
            return commit
        revision, path = quote(self._revision, safe=""), quote(files[0].path)
        return repo_commit(self._requests.head(f"{self._endpoint}/{self._repo}/resolve/{revision}/{path}"))

    def _tree(self, described: Description) -> Tree:
        tree = Tree()
        url: str | None = self._url("tree", described.commit) + "?recursive=true"
        asked: set[str] = set()
        entries = 0
        while url:
            asked.add(url)
            page, url = self._page(url, len(asked), described.commit)
            is_new, entries = tree.add(page), page.entries
            if url in asked or (url and not is_new):
                raise Inconsistent(f"page {len(asked)} repeats what was there, and names another page")
            if len(asked) >= MAX_PAGES:
                raise Inconsistent(f"there are more than {MAX_PAGES} pages, with {len(tree.files)} files so far")
        tree.check_paths()
        self._compare(tree, described, entries)
        return tree

    def _compare(self, tree: Tree, described: Description, last_page_entries: int) -> None:
        short = described.short
        if short is not None:
            check_short_listing(tree.files, short)
            if len({each.path for each in short}) == len(tree.files):
                return
            log.warning(
                "%s: the hub's short listing is cut at %d files; its pages have %d",
                self._doing,
                len(short),
                len(tree.files),
            )
        elif tree.files:
            log.warning("%s: the hub gives no short listing; its pages have %d files", self._doing, len(tree.files))
        if last_page_entries == FULL_PAGE:  # as when something on the way drops the header that names the next page
            raise Inconsistent(
                f"the last page has {FULL_PAGE} entries, as many as a page can have, names no other page, "
                f"and the short listing has {len(short or ())} files"
            )

    def _page(self, url: str, number: int, commit: str) -> tuple[Page, str | None]:
        try:
            return self._attempts.run(lambda: self._read_page(url, number, commit))
        except NeedsChange as error:
            if error.reason not in NOT_THERE and not isinstance(error, PathMissing):
                raise
            if number > 1 or error.reason is Reason.REVISION_NOT_FOUND:
                raise Inconsistent(f"commit {commit} is described, and page {number} of it is not there") from error
            raise NeedsChange(
                Reason.HUB_UNREACHABLE,
                f"{self._doing}: {self._endpoint} knows the repository, but lacks the API path "
                f"/api/models/{self._repo}/tree, which lists its files. Name a hub that has it in HF_ENDPOINT",
            ) from error

    def _read_page(self, url: str, number: int, commit: str) -> tuple[Page, str | None]:
        answer = self._requests.get(url)
        page = read_page(answer.data)
        other = repo_commit(answer.headers)
        if other not in (None, commit):
            raise Inconsistent(f"commit {commit} is described, and page {number} is of commit {other}")
        self._attempts.received(answer.size)
        return page, next_page(answer.next_link, url, self._endpoint) if answer.next_link else None

    def _url(self, what: str, revision: str) -> str:
        return f"{self._endpoint}/api/models/{self._repo}/{what}/{quote(revision, safe='')}"
