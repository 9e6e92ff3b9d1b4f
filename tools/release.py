"""`make release-check`, `make release-notes`: what a release takes from VERSION and CHANGELOG.md.

release.py check v0.2.0   is this the tag of VERSION, and does the changelog have its section, with a date?
release.py notes          that section, without its heading
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from build_images import ROOT


def section(changelog: str, version: str) -> tuple[str, str] | None:
    """What follows the version in its heading, and the text up to the next version; None if there is no section."""
    heading = re.compile(rf"^## \[{re.escape(version)}\](.*)\n", re.MULTILINE)
    found = heading.search(changelog)
    if found is None:
        return None
    text, _, _ = changelog[found.end() :].partition("\n## [")
    return found[1].strip(), text.strip()


def problems(tag: str, version: str, changelog: str) -> list[str]:
    """Why this must not be released, as sentences."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag or 'empty'}, but VERSION says {version}: it must be v{version}")
    match section(changelog, version):
        case None:
            found.append(f"CHANGELOG.md has no section [{version}]: rename [Unreleased]")
        case (date, _) if not re.fullmatch(r"- \d{4}-\d{2}-\d{2}", date):
            found.append(f"the section [{version}] of CHANGELOG.md has no date, such as ## [{version}] - 2026-01-31")
        case (_, ""):
            found.append(f"the section [{version}] of CHANGELOG.md is empty")
    return found


def main(arguments: Sequence[str]) -> int:
    version = (ROOT / "VERSION").read_text().strip()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    match arguments:
        case ["notes"]:
            if (found := section(changelog, version)) is None:
                print(f"release: error: CHANGELOG.md has no section [{version}]", file=sys.stderr)
                return 1
            print(found[1])
            return 0
        case ["check", *tags]:
            wrong = problems("".join(tags), version, changelog)
            for problem in wrong:
                print(f"release: error: {problem}", file=sys.stderr)
            return int(bool(wrong))
    print("usage: release.py check TAG | release.py notes", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
