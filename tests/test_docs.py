"""
The documentation: every example is run, every link leads somewhere, the reference is complete.

How an example is written in a page says how it is run, in order, in a folder of the page's own:

    ```python     executed; all blocks of a page share their names
    ```pycon      executed line by line, output compared; `...` stands for any text
    ```console    lines after `$ ` are commands, the rest is their output, compared as in pycon;
                  `sealed` runs in this process, `python` in one of its own, nothing else is known
    ```bash       run by bash; what it prints is not compared

A python block that begins with a comment that is a file name is written to that file instead; a
`$ python` command has to run it. Blocks of other languages are not run.
"""

from __future__ import annotations

import doctest
import inspect
import os
import re
import shlex
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, event

import sqlalchemy_sealed
from sqlalchemy_sealed import environment, errors, locators, normalizers, sealer
from sqlalchemy_sealed import types as sealed_types
from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.providers.local import ROOT_KEY_VARIABLE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.REPORT_ONLY_FIRST_FAILURE
FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE_NAME = re.compile(r"# ([\w/]+\.py)\n")
# Pages whose examples need a service: the fixture that provides it, and the settings for it.
SERVICES = {
    "docs/howto/aws-kms.md": "aws",
    "docs/howto/pkcs11.md": "hsm_settings",
    "docs/howto/keystore-vault-kv.md": "fresh_bao",
    "docs/howto/vault.md": "fresh_bao",
    "docs/howto/vault-operations.md": "fresh_bao",
    "docs/explanation/for-auditors.md": "fresh_bao",
}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    line: int
    text: str


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a page; one that is indented or not closed is an error."""
    found = [
        Block(match[1], markdown.count("\n", 0, match.start()) + 1, match[2])
        for match in FENCE.finditer(markdown)
    ]
    assert markdown.count("```") == 2 * len(found), "a block is indented, nested or not closed"
    return found


def prose(markdown: str) -> str:
    """Return a page without its blocks."""
    return FENCE.sub("", markdown)


class Run:
    """Runs the examples of one page in a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.module = types.ModuleType("page")
        self.files: set[str] = set()

    def all(self, markdown: str) -> None:
        """Run all examples in order."""
        for block in blocks(markdown):
            if run := getattr(self, f"run_{block.language}", None):
                run(block)
        assert self.files == set(), "a file that no command runs"

    def run_python(self, block: Block) -> None:
        """Write the block to the file that it names, or execute it."""
        if name := FILE_NAME.match(block.text):
            path = self.folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            self.files.add(name[1])
            return
        # Line numbers of a traceback are those of the page.
        code = compile("\n" * block.line + block.text, self.name, "exec", dont_inherit=True)
        exec(code, vars(self.module))

    def run_pycon(self, block: Block) -> None:
        """Execute the lines after the prompts and compare their output."""
        parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=COMPARED)
        test = parser.get_doctest(block.text, {}, self.name, self.name, block.line)
        test.globs = vars(self.module)
        report: list[str] = []
        failed = runner.run(test, out=report.append, clear_globs=False).failed
        assert not failed, "".join(report)

    def run_console(self, block: Block) -> None:
        """Run the commands and compare their output."""
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            program, *arguments = shlex.split(command)
            output = {"sealed": self._sealed, "python": self._python}[program](arguments)
            same = doctest.OutputChecker().check_output(expected, output, COMPARED)
            assert same, f"{self.name}:{block.line}: $ {command}\n{output}"

    def run_bash(self, block: Block) -> None:
        """Run the block to its end; the first command that fails fails it."""
        command = ["bash", "-eu", "-o", "pipefail", "-c", block.text]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.name}:{block.line}: {done.stdout}{done.stderr}"

    def _sealed(self, arguments: list[str]) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).output

    def _python(self, arguments: list[str]) -> str:
        self.files.clear()
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty current folder, where no page left a sealer, a setting or a normaliser."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sealer, "_sealers", {})
    monkeypatch.setattr(normalizers, "_NORMALIZERS", dict(normalizers._NORMALIZERS))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("SEALED_")]:
        del os.environ[name]
    os.environ["COLUMNS"] = "100"
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def _engines() -> Iterator[None]:
    """Close what the engines of an example leave in their pools."""
    engines: set[Engine] = set()

    def remember(connection: Connection) -> None:
        engines.add(connection.engine)

    event.listen(Engine, "engine_connect", remember)
    yield
    event.remove(Engine, "engine_connect", remember)
    for engine in engines:
        engine.dispose()


@pytest.fixture
def run(_engines: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a page in that folder."""
    run = Run("page", folder)
    # Dataclasses and SQLAlchemy look for the names of an annotation in the module of the class.
    monkeypatch.setitem(sys.modules, "page", run.module)
    return run


def name_of(page: Path) -> str:
    """Return the path of a page, as it is said in test names."""
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_examples_of_a_page_run_and_print_what_it_says(
    page: Path, run: Run, request: pytest.FixtureRequest
) -> None:
    """Who copies the examples of a page, from the first to the last, sees what it shows."""
    run.name = name_of(page)
    if service := SERVICES.get(run.name):
        request.getfixturevalue(service)
    run.all(page.read_text())


@pytest.mark.parametrize(
    "markdown",
    [
        "```python\nassert 1 == 2\n```",
        "```pycon\n>>> 1 + 1\n3\n```",
        "```pycon\n>>> int('x')\nTraceback (most recent call last):\nKeyError: 1\n```",
        "```bash\ntrue\nfalse\ntrue\n```",
        "```console\n$ sealed keys list\n```",
        "```console\n$ python -c 'print(1)'\n2\n```",
        "```python\n# file.py\n1\n```",
        "* indented\n\n  ```python\n  1\n  ```",
    ],
    ids=["python", "pycon", "traceback", "bash", "sealed", "python command", "file", "indented"],
)
def test_a_wrong_example_is_noticed(markdown: str, run: Run) -> None:
    """An example that fails, prints something else or would never run fails the page."""
    with pytest.raises(AssertionError):
        run.all(markdown + "\n")


def test_an_unknown_command_in_a_console_is_noticed(run: Run) -> None:
    """A console block cannot hold commands that nobody runs."""
    with pytest.raises(KeyError, match="curl"):
        run.all("```console\n$ curl example.org\n```\n")


def test_the_blocks_of_a_page_share_their_names(run: Run) -> None:
    """A later block goes on where an earlier one stopped, in the order of the page."""
    run.all(
        "```python\na = 1\n```\n```pycon\n>>> a + 1\n2\n>>> b = 3\n```\n```python\nassert b == 3\n"
        "```\n```python\n# file.py\nprint(4)\n```\n```console\n$ python file.py\n4\n```\n"
    )


# -- Links


def anchors(markdown: str) -> set[str]:
    """Return the anchors that the headings of a page get."""
    texts = [heading.strip().lower() for heading in HEADING.findall(prose(markdown))]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the links of a page into this repository: file and anchor."""
    targets = [target for target in LINK.findall(prose(page.read_text())) if ":" not in target]
    split = [target.partition("#") for target in targets]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in split]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A link into the repository names a file that is there, and a heading that is in it."""
    broken = [
        f"{file.relative_to(ROOT)}#{anchor}"
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file.read_text()))
    ]
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    """No page of the documentation is an orphan."""
    seen, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            waiting += [file for file, _ in links(page)]
    pages = {name_of(page) for page in DOCS.rglob("*.md")}
    assert pages - {name_of(page) for page in seen} == set()


# -- The reference


def reference(name: str) -> str:
    """Return a page of the reference."""
    return (DOCS / "reference" / name).read_text()


def first_cells(markdown: str) -> set[str]:
    """Return what stands as code in the first column of the tables of a page."""
    return set(re.findall(r"^\| `([^`]+)` \|", markdown, re.MULTILINE))


ERRORS = {
    value.code: value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, sqlalchemy_sealed.SealedError)
}


def test_every_error_has_one_section() -> None:
    """The errors page has one section for each `code`, and none for a code that is gone."""
    headings = re.findall(r"^## `(.+)`$", prose(reference("errors.md")), re.MULTILINE)
    assert sorted(headings) == sorted(code for code in ERRORS if code != "sealed")


@pytest.mark.parametrize("code", sorted(set(ERRORS) - {"sealed"}))
def test_the_section_of_an_error_names_its_class(code: str) -> None:
    """Under its code, the page names the class that a program catches."""
    _, _, section = reference("errors.md").partition(f"\n## `{code}`\n")
    assert section.strip().startswith(f"`{ERRORS[code].__name__}`")


def test_every_type_is_in_the_reference() -> None:
    """Each sealed type has a row that says what values it takes and what its length shows."""
    names = {name for name in sealed_types.__all__ if name.startswith("Encrypted")}
    assert names - first_cells(reference("types.md")) == set()


def test_every_option_is_in_the_reference() -> None:
    """Each option of the sealed types has a row."""
    assert set(sealed_types.Options.__annotations__) - first_cells(reference("types.md")) == set()


def test_every_public_name_is_in_the_reference() -> None:
    """The overview has a row for each name that the package exports."""
    assert set(sqlalchemy_sealed.__all__) - first_cells(reference("api.md")) == set()


def test_every_environment_variable_is_in_the_reference() -> None:
    """The configuration page has a row for each variable that is read."""
    variables = {
        environment.KEYSTORE_VARIABLE,
        environment.KEK_VARIABLE,
        locators.PASSPHRASE_VARIABLE,
        locators.RSA_PASSWORD_VARIABLE,
        locators.PIN_VARIABLE,
        environment.ROOT_KEY_FILE_VARIABLE,
        ROOT_KEY_VARIABLE,
    }
    assert variables - first_cells(reference("configuration.md")) == set()


def commands(group: click.Group, path: str = "sealed") -> Iterator[tuple[str, click.Command]]:
    """Yield the commands under a group with what is typed to run them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


@pytest.mark.parametrize(("name", "command"), list(commands(app)))
def test_every_command_and_its_options_are_in_the_reference(
    name: str, command: click.Command
) -> None:
    """The command line page has a section for each command, with a row for each argument."""
    _, _, section = reference("cli.md").partition(f"\n## `{name}`\n")
    rows = first_cells(section.partition("\n## ")[0])
    options = {
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.name.upper()
        for parameter in command.params
    }
    assert rows == options - {"--json"}
