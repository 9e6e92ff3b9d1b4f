"""The shape of the code: how large a module may be, where libraries are allowed. import-linter checks the layers.

Read from the syntax tree, so an import inside a function counts as well.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "init_sync": ROOT / "init_sync/src/init_sync",
    "modelcache_operator": ROOT / "operator/src/modelcache_operator",
    "inference": ROOT / "inference/src/inference",
}
MODULES = sorted(path for folder in SOURCES.values() for path in folder.rglob("*.py"))
PURE = {
    *("__future__", "collections", "dataclasses", "difflib", "enum", "fnmatch", "functools", "hashlib", "itertools"),
    *("io", "json", "re", "reprlib", "typing", "yaml"),
}
AT_HOME = {
    "huggingface_hub": ("init_sync/hub",),
    "httpx2": ("init_sync/hub",),
    "http": ("init_sync/hub", "init_sync/serve", "init_sync/app/metrics.py"),
    "ssl": ("init_sync/hub",),
    "prometheus_client": ("init_sync/app/metrics.py", "init_sync/serve/metrics.py"),
    "tqdm": ("init_sync/app/progress_display.py",),
    "yaml": ("init_sync/core/yamltext.py",),
    "argparse": ("init_sync/app/arguments.py", "init_sync/shell/flags.py"),
}
MODULE_LINES = 400
FUNCTION_LINES = 50


def name_of(path: Path) -> str:
    return str(path).partition("/src/")[2]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Full names of everything that the module imports, those for type checking alone left out."""
    for node in runtime_nodes(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from runtime_nodes(other)
        else:
            yield child
            yield from runtime_nodes(child)


def each(folder: str = "") -> pytest.MarkDecorator:
    """Parametrizes ``module`` with every module below a folder such as ``init_sync/core``."""
    chosen = [path for path in MODULES if name_of(path).startswith(folder)]
    return pytest.mark.parametrize("module", chosen, ids=name_of)


@each("init_sync/core")
def test_the_core_is_pure(module: Path) -> None:
    outside = {name.partition(".")[0] for name in imports(module)} - {"init_sync"}
    assert outside <= PURE, "core touches neither network nor volume nor clock"


@each("init_sync")
def test_a_library_is_used_only_where_it_is_at_home(module: Path) -> None:
    for used in {name.partition(".")[0] for name in imports(module)} & set(AT_HOME):
        assert name_of(module).startswith(AT_HOME[used]), f"{used} belongs in {AT_HOME[used]}"


@each()
def test_a_module_says_what_it_owns_and_stays_small(module: Path) -> None:
    assert ast.get_docstring(tree_of(module))
    assert len(module.read_text().splitlines()) <= MODULE_LINES


@each()
def test_functions_stay_small(module: Path) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, f"{node.name} is too long"


@each("init_sync/core")
def test_dataclasses_of_the_core_are_frozen(module: Path) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                if "dataclass" in ast.unparse(decorator):
                    assert "frozen=True" in ast.unparse(decorator), node.name
                    assert "slots=True" in ast.unparse(decorator), node.name


@pytest.mark.parametrize("distribution", SOURCES)
def test_a_wheel_holds_only_what_its_program_uses(distribution: str) -> None:
    """A tool for development belongs in ``tools``: what is in a wheel is in an image."""
    source = SOURCES[distribution]
    modules = {
        ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in source.rglob("*.py")
    }
    project = tomllib.loads((source.parents[1] / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"src/{distribution}"]
    used: set[str] = set()
    waiting = {distribution, *(target.partition(":")[0] for target in project["project"]["scripts"].values())}
    while waiting:
        module = waiting.pop()
        used.add(module)
        asked = set(imports(modules[module]))
        above = {name.rpartition(".")[0] for name in asked | {module}}
        waiting |= ((asked | above) & modules.keys()) - used
    assert modules.keys() - used == set()
