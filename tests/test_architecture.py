"""The imports run downward, and the command line answers without loading what it does not need."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import seqvae_cli

PACKAGE = Path(seqvae_cli.__file__).parent

LAYERS = {
    0: {
        "version",
        "errors",
        "places",
        "files",
        "text",
        "events",
        "config",
        "tokenizer",
        "toy",
        "toy_grammar",
        "toy_lexicon",
    }
    | {"corpus", "registry", "download", "sources", "prepare", "codes"}
    | {"comparison", "trash", "progress", "curves"},
    1: {"latent", "batching", "runtime", "cross_entropy", "vocabulary", "ngrams", "priors", "rotary"},
    2: {"model"},
    3: {"objective", "metrics", "generate", "paths", "checkpoint"},
    4: {"display", "live", "learner", "phases", "trainer", "train", "evaluate", "library", "plots"}
    | {"archive", "doctor", "diagnosis", "quality", "path_quality", "latent_plots"},
    5: {"commands"},
    6: {"app", "__main__"},
}
"""Modules that exist or will; a module in no layer fails the tests."""

TERMINAL = {"display", "live", "commands", "app", "__main__"}
"""What may know Rich or Typer, print, and exit; the rest is the library."""

WITHIN_A_LAYER = {
    ("vocabulary", "cross_entropy"),
    ("priors", "latent"),
    ("paths", "generate"),
    ("live", "display"),
    ("trainer", "learner"),
    ("trainer", "phases"),
    ("train", "trainer"),
    ("phases", "learner"),
    ("__main__", "app"),
} | {
    ("library", "train"),
    ("library", "evaluate"),
    ("latent_plots", "plots"),
}
"""Imports allowed inside a layer above 0. Layer 0 may import itself, without cycles."""

LAYER = {module: layer for layer, modules in LAYERS.items() for module in modules}


def name_of(path: Path) -> str:
    """`commands/train.py` -> `commands.train`; a package has the name of its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> set[str]:
    """Full names of all modules that `tree` imports, in functions and under TYPE_CHECKING as well."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top_imports(tree: ast.Module) -> set[str]:
    """Full names of the modules imported as soon as `tree` is: not inside functions, not under TYPE_CHECKING."""
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= imports(node)
        else:
            pending += ast.iter_child_nodes(node)
    return found


def ours(names: set[str]) -> set[str]:
    """Those of our own modules that the imported names belong to."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "seqvae_cli":
            inner = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
            found |= {next((module for module in inner if module in SOURCES), "")}
    return found - {""}


def layer(module: str) -> int:
    return LAYER[module.split(".")[0]]


GRAPH = {module: ours(imports(tree)) - {module} for module, tree in SOURCES.items()}


def test_every_module_has_a_layer() -> None:
    unknown = {module for module in SOURCES if module and module.split(".")[0] not in LAYER}
    assert not unknown, f"put {sorted(unknown)} into a layer of this test and of the architecture"


def test_the_table_of_this_test_names_a_module_once() -> None:
    assert sum(len(modules) for modules in LAYERS.values()) == len(LAYER)


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {""}))
def test_imports_run_downward(module: str) -> None:
    for imported in GRAPH[module]:
        if module.startswith("commands.") and (imported == "commands" or imported.startswith("commands._")):
            continue  # never each other; what several share is in a module that is no command, `commands._name`
        inside = layer(module) == layer(imported) and (layer(module) == 0 or (module, imported) in WITHIN_A_LAYER)
        assert layer(imported) < layer(module) or inside, f"{module} imports {imported}"


def test_no_import_cycle_not_even_in_functions() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for imported in GRAPH[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {""}))
def test_only_the_top_layers_know_the_terminal(module: str) -> None:
    if module.split(".")[0] not in TERMINAL:
        terminal = {name for name in imports(SOURCES[module]) if name.split(".")[0] in ("rich", "typer", "click")}
        assert not terminal, f"{module} imports {terminal}"


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {""}))
def test_what_must_start_fast_imports_nothing_slow(module: str) -> None:
    slow: set[str] = set()
    if module in ("display", "live", "app", "__main__") or module.startswith("commands."):
        slow = {"torch", "numpy", "pydantic", "rich", "safetensors", "sacrebleu", "yaml"}
    elif layer(module) == 0:
        slow = {"torch"}
    loaded = {name for name in top_imports(SOURCES[module]) if name.split(".")[0] in slow}
    assert not loaded, f"{module} imports {loaded} at its top"


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {""}))
def test_the_library_neither_prints_nor_exits(module: str) -> None:
    if module.split(".")[0] in TERMINAL:
        return
    for node in ast.walk(SOURCES[module]):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"{module}, line {node.lineno}"


def calls(module: str) -> dict[str, list[ast.Call]]:
    """The calls in a module, by the last part of what is called."""
    found: dict[str, list[ast.Call]] = {}
    for node in ast.walk(SOURCES[module]):
        if isinstance(node, ast.Call):
            found.setdefault(ast.unparse(node.func).rpartition(".")[2], []).append(node)
    return found


NOT_DURABLE = {"sources": 1, "download": 1, "app": 3}
"""Files opened for writing that nothing depends on after a crash: a spooled text, the part of a download that is not
verified yet, the null device."""


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {""}))
def test_only_one_class_writes_durable_files_and_one_function_verifies_them(module: str) -> None:
    found = calls(module)
    opened = [call for call in found.get("open", []) if ast.unparse(call.func) in ("open", "os.open")]
    writing = [call for call in opened if re.search("['\"][rwaxb+]*[wax+]|O_WRONLY|O_CREAT", ast.unparse(call))]
    by_name = [name for name in ("write_text", "write_bytes", "save_file", "savefig", "copyfile") if name in found]
    assert by_name in ([], ["savefig"]), f"{module} writes files by {by_name}"
    hashes = [
        node for node in ast.walk(SOURCES[module]) if isinstance(node, ast.Compare) and "sha256" in ast.unparse(node)
    ]
    if module == "files":
        assert len([call for call in writing if "'xb'" in ast.unparse(call)]) == len(writing) == 1
        return
    assert len(writing) <= NOT_DURABLE.get(module, 0), [ast.unparse(call) for call in writing]
    assert module == "archive" or not hashes, [
        ast.unparse(node) for node in hashes
    ]  # it notices what changes meanwhile


def test_top_imports_tell_when_a_module_is_loaded() -> None:
    source = """
import a
from b import c
if TYPE_CHECKING:
    import d
else:
    import e
try:
    import f
except ImportError:
    pass
class K:
    import g
    def method(self):
        import h
"""
    assert top_imports(ast.parse(source)) == {"a", "b.c", "e", "f", "g"}
    assert imports(ast.parse(source)) == {"a", "b.c", "d", "e", "f", "g", "h"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sample", "--help"]])
def test_help_loads_neither_torch_nor_numpy_nor_pydantic(arguments: list[str]) -> None:
    script = f"""
import sys
from seqvae_cli import app
code = app.main({arguments})
slow = {{"torch", "numpy", "pydantic", "rich", "yaml", "safetensors", "matplotlib"}} & set(sys.modules)
sys.exit(f"loaded: {{slow}}" if slow else code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "seqvae" in done.stdout
