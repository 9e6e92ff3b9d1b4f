"""Which files a model needs on the volume, decided from the manifest and the hub's listings alone.

A file whose place is taken by another model's link is required under ``<name>_old`` instead: the link and the
original live side by side, and no later sync of the original ever replaces the link.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from init_sync.core.errors import NeedsChange
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.patterns import matches, nearest, select
from init_sync.core.reasons import Reason
from init_sync.core.spec import Alternative, Model
from init_sync.core.volumepath import REPLACED_SUFFIX, is_pickle, path_problem


@dataclass(frozen=True, slots=True)
class RequiredFile:
    """One file that must be on the volume, and where its bytes come from."""

    path: str
    """Where it belongs, relative to the volume's root."""
    source: str
    """Its path in the repository."""
    repo: str
    commit: str
    size: int
    """Bytes."""
    content_id: str

    @property
    def replaced(self) -> bool:
        """Whether a link has its place, so that it lies beside that."""
        return self.path.endswith(self.source + REPLACED_SUFFIX)


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to download once, and every path on the volume where it belongs."""

    content_id: str
    size: int
    paths: tuple[str, ...]
    source: RequiredFile
    kept: int = 0
    """Bytes of it that an earlier run left on the volume."""

    @property
    def label(self) -> str:
        """How log lines call it."""
        return self.paths[0]


@dataclass(frozen=True, slots=True)
class Choice:
    """The alternative that was taken of a ``oneOf``, and why the ones before it were not."""

    alternative: Alternative
    file: RemoteFile
    commit: str
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Requirement:
    """Everything that one model needs: the plan that a sync carries out and a receipt records."""

    model: Model
    commits: Mapping[str, str]
    """Commit by revision, for each revision that files come from."""
    files: tuple[RequiredFile, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Revision by file, for what was taken of a ``oneOf``."""

    @property
    def commit(self) -> str:
        return self.commits[self.model.revision]


def choose(
    model: Model,
    list_revision: Callable[[str], Listing | None],
    on_volume: Callable[[Alternative], bool],
    is_valid: Callable[[Alternative, RemoteFile], bool],
) -> Choice | None:
    """Take one of the model's alternatives: one that is complete on the volume, else the first that the hub has.

    ``list_revision`` gives None for a revision that the hub does not have. ``on_volume`` is a cheap look whether a
    file of that name is there at all; ``is_valid`` compares its content, and is asked only then.

    Raises:
        NeedsChange: when the hub has none of them.
    """
    if not model.one_of:
        return None
    passed_over: list[str] = []
    first: Choice | None = None
    for alternative in model.one_of:
        if first and not on_volume(alternative):
            continue  # a request that could not change the outcome
        listing = list_revision(alternative.revision)
        found = listing.file(alternative.file) if listing else None
        if listing is None:
            passed_over.append(f"{model.repo} has no revision {alternative.revision}")
        elif found is None:
            passed_over.append(f"{alternative.file} is not on {alternative.revision}")
        else:
            choice = Choice(alternative, found, listing.commit, tuple(passed_over))
            if on_volume(alternative) and is_valid(alternative, found):
                return choice
            first = first or choice
    if first:
        return first
    tried = "; ".join(passed_over)
    raise NeedsChange(
        Reason.FILE_NOT_FOUND, f"choosing a file of {model.repo}: {tried}. Correct oneOf in the manifest", model.name
    )


def require(
    model: Model, listing: Listing, choice: Choice | None, linked_elsewhere: Collection[str] = ()
) -> Requirement:
    """The files that ``model`` needs of ``listing``, and of the ``choice`` made for its ``oneOf``.

    ``linked_elsewhere`` names places where another manifest on the same volume keeps a link.

    Raises:
        NeedsChange: FileNotFound for a file that is named and not there, for patterns that leave nothing at all, and
            for a link to a file that the model does not take.
    """
    taken = {*model.taken_places, *linked_elsewhere}
    alternatives = {alternative.file for alternative in model.one_of}
    candidates = [file for file in listing.files if file.path not in alternatives]
    wanted = set(select((file.path for file in candidates), model.include, model.exclude))
    if not (listing.files or choice):
        raise _nothing(model, "there are no files at that revision. Correct revision in the manifest")
    _check_patterns(model, listing, alternatives)
    files = [_required(model, file, listing.commit, taken) for file in candidates if file.path in wanted]
    commits = {model.revision: listing.commit}
    chosen: dict[str, str] = {}
    if choice:
        files.append(_required(model, choice.file, choice.commit, taken))
        commits[choice.alternative.revision] = choice.commit
        chosen[choice.alternative.file] = choice.alternative.revision
    if not files:
        raise _nothing(model, "include and exclude leave no file. Correct the patterns")
    _check_links(model, {file.source for file in files})
    return Requirement(model, commits, tuple(sorted(files, key=lambda each: each.path)), chosen)


def refuse_pickles(requirement: Requirement) -> None:
    """Raises NeedsChange, reason PickleRefused, when a required file is of a format that can run code."""
    pickles = [file.source for file in requirement.files if is_pickle(file.source)]
    if pickles:
        model = requirement.model
        raise NeedsChange(
            Reason.PICKLE_REFUSED,
            f"checking {model.repo}: {', '.join(pickles[:3])} can run code when loaded and spec.allowPickles is false. "
            "Choose a safetensors file or allow pickles",
            model.name,
        )


def refuse_collisions(requirements: Collection[Requirement]) -> None:
    """Raises NeedsChange, reason InvalidSpec, when two files cannot lie side by side on the volume."""
    owners: dict[str, tuple[RequiredFile, str]] = {}
    for requirement in requirements:
        for file in requirement.files:
            other, owner = owners.setdefault(file.path, (file, requirement.model.name))
            if other is not file:
                _collide(file.path, owner, requirement.model.name, "both put a file there")
    for path, (_, owner) in owners.items():
        for parent in _parents(path):
            if parent in owners:
                _collide(parent, owners[parent][1], owner, "put a file and a directory there")


def _collide(path: str, first: str, second: str, what: str) -> None:
    models = f"models {first} and {second}" if first != second else f"model {first}: two of its files"
    raise NeedsChange(
        Reason.INVALID_SPEC, f"placing {path}: {models} {what}. Change a path or exclude one of the files", second
    )


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _required(model: Model, file: RemoteFile, commit: str, taken: Collection[str]) -> RequiredFile:
    path = f"{model.path}/{file.path}"
    if problem := path_problem(path):
        raise NeedsChange(Reason.INVALID_SPEC, f"listing {model.repo}: {problem}. Exclude it", model.name)
    if path in taken:
        path += REPLACED_SUFFIX
    return RequiredFile(path, file.path, model.repo, commit, file.size, file.content_id)


def _nothing(model: Model, why: str) -> NeedsChange:
    return NeedsChange(Reason.FILE_NOT_FOUND, f"listing {model.repo} at {model.revision}: {why}", model.name)


def _check_patterns(model: Model, listing: Listing, alternatives: Collection[str]) -> None:
    paths = [*(file.path for file in listing.files), *alternatives]
    for pattern in model.include or ():
        if not any(matches(path, pattern) for path in paths):
            near = nearest(paths, pattern)
            instead = f"; the nearest names are {', '.join(near)}" if near else ""
            raise NeedsChange(
                Reason.FILE_NOT_FOUND,
                f"listing {model.repo} at {model.revision} (commit {listing.commit[:12]}): include pattern {pattern} "
                f"matches no file{instead}. Correct include in the manifest",
                model.name,
            )


def _check_links(model: Model, sources: Collection[str]) -> None:
    for link in model.links:
        if link.file not in sources:
            raise NeedsChange(
                Reason.FILE_NOT_FOUND,
                f"linking {link.at}: {link.file} is not among the files that model {model.name} takes. "
                "Add it to include, or correct the link",
                model.name,
            )
