"""Packages of others that raise, end the program, hang or are something else: named in one line, the rest works."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spae import plugins
from spae.cli import app
from spae.errors import InputError
from spae.plugins import PluginFault, blame, check_members, load_target, made_by, plugin_code, watched
from spae.tokenizers.checked import checked_tokenizer
from tests.benchmarks.plugged_in import PACKAGE, Program

BAD = {
    "raises": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "exits": ("import sys; sys.exit(3)", "it ended the program (SystemExit: 3)"),
    "lacks a module": ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
    "is no Python": ("def (:", "SyntaxError"),
    "has nothing": ("", "has no attribute 'THING'"),
    "interrupts": ("raise GeneratorExit if False else BufferError('full')", "BufferError: full"),
}
GROUPS = ("tasks", "tokenizers", "llm_backends", "metrics", "recipes", "figures")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("code", "said"), BAD.values(), ids=BAD)
def test_what_a_package_does_at_its_import_is_one_line(
    package: Path, request: pytest.FixtureRequest, code: str, said: str
) -> None:
    name = f"bad_{abs(hash(request.node.name))}"
    (package / f"{name}.py").write_text(code)
    with pytest.raises(PluginFault) as raised:
        load_target(f"{name}:THING")
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_package_that_hangs_is_given_up(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "LOAD_SECONDS", 0.2)
    (package / "hangs_at_import.py").write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(9)\n    except Exception:\n        pass\n"
    )
    begun = time.monotonic()
    with pytest.raises(PluginFault, match="did not return within"):
        load_target("hangs_at_import:THING")
    assert time.monotonic() - begun < 5


def test_interrupts_and_deliberate_errors_pass() -> None:
    with pytest.raises(KeyboardInterrupt), plugin_code():
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="the user's fault"), plugin_code():
        raise InputError("the user's fault")


def test_faults_of_our_own_code_keep_their_trace() -> None:
    with pytest.raises(ZeroDivisionError), made_by("spae.plugins:nothing"):
        _ = 1 / 0
    with pytest.raises(PluginFault, match="no attribute 'nothing'"):
        load_target("spae.plugins:nothing")


def test_other_things_lack_members() -> None:
    from spae.tokenizers.protocol import Tokenizer

    with pytest.raises(PluginFault, match=r"must be a spae\.tokenizers.protocol\.Tokenizer, a str has no decode"):
        check_members("text", Tokenizer)


def test_a_plug_in_that_does_not_return_is_named(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "slow_at_use.py").write_text("import time\ndef use():\n    time.sleep(0.6)\n")
    monkeypatch.setattr(plugins, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(plugins, "_plugins", lambda: {"slow_at_use": "plug-in 'slow' of slow-package"})
    import slow_at_use  # type: ignore[import-not-found]

    with watched():
        slow_at_use.use()
    assert capsys.readouterr().err.count("plug-in 'slow' of slow-package has not returned") == 1


def test_blame_needs_a_frame_of_the_plug_in(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "fails_at_use.py").write_text("def use():\n    return 1 / 0\n")
    monkeypatch.setattr(plugins, "_plugins", lambda: {"fails_at_use": "plug-in 'x' of y"})
    import fails_at_use  # type: ignore[import-not-found]

    try:
        fails_at_use.use()
    except ZeroDivisionError as error:
        assert blame(error) == "plug-in 'x' of y"
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        assert blame(error) == ""


class Odd:
    """A tokenizer of another package that returns what it is told to."""

    name, family, depth, image_size, fingerprint, vocabulary = "odd", "odd", 1, 8, "0" * 64, ()
    returns: object = None

    def encode(self, images: object, depth: int | None = None) -> object:
        return self.returns

    decode = prepare = encode


@pytest.mark.parametrize("returned", [None, "words", [1], [None], {}, iter(())])
def test_what_a_tokenizer_returns_is_checked(returned: object) -> None:
    import numpy as np

    odd = Odd()
    odd.returns = returned
    tokenizer = checked_tokenizer(odd, "odd")  # type: ignore[arg-type]
    image = np.zeros((8, 8, 3), np.uint8)
    for use in (tokenizer.encode, tokenizer.decode):
        with pytest.raises(InputError, match="of tokenizer 'odd' must return"):
            use([image] if use == tokenizer.encode else [None])  # type: ignore[operator]
    with pytest.raises(InputError, match="prepare of tokenizer 'odd' must return images"):
        tokenizer.prepare(image)


@pytest.mark.parametrize(("field", "value"), [("name", 7), ("depth", 0), ("depth", "two"), ("image_size", None)])
def test_what_a_tokenizer_states_is_checked(field: str, value: object) -> None:
    odd = Odd()
    setattr(odd, field, value)
    with pytest.raises(InputError, match=f"its {field} must be"):
        checked_tokenizer(odd, "odd")  # type: ignore[arg-type]


def installed(home: Path, points: dict[str, str], **modules: str) -> Program:
    """The program of `plugged_in` with a second package that adds these entry points of each group."""
    program = Program(home)
    folder = home / "package"
    (folder / "bad-1.0.dist-info").mkdir()
    (folder / "bad-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    lines = [f"[spae.{group}]\n{names}\n" for group, names in points.items()]
    (folder / "bad-1.0.dist-info" / "entry_points.txt").write_text("\n".join(lines))
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    return program


def test_bad_packages_are_listed_and_the_others_run(tmp_path: Path) -> None:
    broken = PACKAGE.replace("class TinyWords", "class Breaks").replace('"0" * 64', '"1" * 64')
    broken = broken.replace("        words = [", "        raise SystemExit(0)\n        words = [")
    program = installed(
        tmp_path,
        dict.fromkeys(GROUPS, "exits = bad_exits:THING\nraises = bad_raises:THING")
        | {"tokenizers": "exits = bad_exits:THING\nbreaks = bad_use:Breaks\nother = bad_use:number"},
        bad_exits="import sys; sys.exit(0)",
        bad_raises="raise RuntimeError('boom')",
        bad_use=f"{broken}\n\ndef number():\n    return 7\n",
    )
    code, out, err = program.run("ls")
    assert code == 0, err
    assert "miniimagenet-5way" in out and "it ended the program" in out and "RuntimeError: boom" in out
    question = (
        "--task", "miniimagenet-2way", "--data", "photos", "--setting", "i1-s1-r0", "--limit", 1, "--scoring", "exact",
        "--llm", "scripted:script.json",
    )  # fmt: skip
    (tmp_path / "script.json").write_text('{"default": "ant"}')
    code, _, err = program.run("run", "--tokenizer", "tiny", *question)
    assert code == 0, err
    assert "figure exits" in err and "could not be made" in err, "its figure"
    for name, said in (
        ("exits", "tokenizer 'exits' (bad_exits:THING) does not load: it ended the program (SystemExit: 0)"),
        ("breaks", "plug-in 'breaks' of bad failed: it ended the program (SystemExit: 0)"),
        ("other", "tokenizer 'other' cannot be used: it must be a spae.tokenizers.protocol.Tokenizer"),
    ):
        code, _, err = program.run("run", "--tokenizer", name, *question)
        assert (code, said in err, "Traceback" in err) == (2, True, False), err


def test_recipes_of_others_are_named_and_the_rest_is_listed(package: Path) -> None:
    (package / "bad-1.0.dist-info").mkdir()
    (package / "bad-1.0.dist-info" / "entry_points.txt").write_text(
        "[spae.recipes]\nodd = bad_recipe:number\nquits = bad_quits.deep:recipe\n"
    )
    (package / "bad_recipe.py").write_text("def number():\n    'A recipe.'\n    return 7\n")
    (package / "bad_quits.py").write_text("import sys; sys.exit(0)\n")
    listed = CliRunner().invoke(app, ["recipes", "--json"])
    assert listed.exit_code == 0 and '"picto_spae"' in listed.stdout and '"quits"' in listed.stdout
    for name, said in (("odd", "must return a Recipe, got int"), ("quits", "it ended the program")):
        done = CliRunner().invoke(app, ["train", "--recipe", name])
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
