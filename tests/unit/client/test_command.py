"""The command without a service: what it lists, explains and completes."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from app.cli import main as service
from app.commands import COMMANDS
from tdmr.cli.charts import chart
from tdmr.cli.jobfile import merged, schema
from tdmr.cli.root import tdmr


def every(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from every(command, *path, name)


OWN = dict(every(tdmr))
ALONE = {("completion",)}
"""What prints a script has no JSON."""


class TestHelp:
    @pytest.mark.parametrize("path", OWN, ids=" ".join)
    def test_explains_each_command_and_option(self, path: tuple[str, ...]) -> None:
        said = CliRunner().invoke(tdmr, [*path, "--help"])
        command = OWN[path]

        assert said.exit_code == 0
        assert len(command.help or "") > 15
        options = [one for one in command.params if isinstance(one, click.Option)]
        assert all(one.help or one.name == "out" for one in options)
        if not isinstance(command, click.Group) and path not in ALONE:
            assert "as_json" in {one.name for one in options}

    @pytest.mark.parametrize("path", [p for p, c in OWN.items() if not isinstance(c, click.Group)], ids=" ".join)
    def test_shows_examples_of_commands_that_there_are(self, path: tuple[str, ...]) -> None:
        shown = [line.strip() for line in (OWN[path].help or "").splitlines() if line.strip().startswith("tdmr ")]
        for line in shown:
            words = line.split("|")[0].split()[1:]
            assert any(tuple(words[: len(known)]) == known for known in OWN), line

    def test_names_the_exit_statuses(self) -> None:
        assert "4 not reachable" in " ".join(CliRunner().invoke(tdmr, ["--help"]).output.split())


class TestService:
    def test_has_joined_with_its_own_words(self) -> None:
        assert COMMANDS["main"] == "app.cli:main"
        commands = COMMANDS["commands"]
        assert isinstance(commands, dict)
        assert set(commands) == set(service.commands)
        for name, summary in commands.items():
            first = " ".join((service.commands[name].help or "").split("\n\n")[0].split())
            assert first.startswith(summary.rstrip(".")), name

    def test_is_not_loaded_before_it_is_called(self) -> None:
        code = "import sys; from tdmr.cli.root import tdmr; tdmr(['--help'], standalone_mode=False); " + (
            "sys.exit('app.cli' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0

    def test_gets_its_arguments_and_its_own_help(self) -> None:
        said = subprocess.run(
            [sys.executable, "-m", "tdmr.cli", "worker", "--queue=none"], capture_output=True, text=True, check=False
        )
        assert said.returncode == 2 and "tdmr worker" in said.stderr and "'none' is not one of" in said.stderr


class TestCompletion:
    def test_is_printed_and_completes(self) -> None:
        assert "_tdmr_completion" in CliRunner().invoke(tdmr, ["completion", "bash"]).output
        environment = {"_TDMR_COMPLETE": "bash_complete", "COMP_WORDS": "tdmr jobs re", "COMP_CWORD": "2"}
        said = CliRunner().invoke(tdmr, [], prog_name="tdmr", env=environment)
        assert {"plain,resume", "plain,retry", "plain,rerun"} == set(said.output.split())


class TestCharts:
    def test_draw_from_the_highest_to_the_lowest(self) -> None:
        rows = chart("loss", [(0, 2.0), (1, 1.0), (2, 0.5)], 30, 4)
        assert rows[0] == "loss  0.5"
        assert rows[1].startswith("  2 ") and rows[-1].startswith("0.5 ")
        assert len(rows) == 5 and max(map(len, rows)) <= 30

    def test_of_nothing_are_nothing_and_of_one_point_one_dot(self) -> None:
        assert chart("loss", [], 30, 4) == []
        dots = "".join(chart("accuracy", [(7, 0.5)], 30, 4, as_share=True)[1:])
        assert sum("\u2800" < letter < "\u28ff" for letter in dots) == 1 and "50.0%" in dots


class TestJobFile:
    def test_options_of_the_command_line_go_before_it(self) -> None:
        body = {"student": "a", "distill": {"image_steps": 1, "ema": 0.5}}
        assert merged(body, {"distill.image_steps": 2, "views.hflip": False}) == {
            "student": "a",
            "distill": {"image_steps": 2, "ema": 0.5},
            "views": {"hflip": False},
        }
        assert body["distill"] == {"image_steps": 1, "ema": 0.5}
        with pytest.raises(click.UsageError):
            merged(body, {"student.name": 1})

    def test_has_a_schema_that_stands_alone(self) -> None:
        text = str(schema())
        assert "#/components" not in text and {"DistillConfig", "ViewConfig"} <= set(schema()["$defs"])
        assert "dataset_id" not in schema()["required"]


KEYBOARD = """
import termios
from tdmr.cli.watching import _nothing_discarded

def kept():
    return bool(termios.tcgetattr(0)[3] & termios.NOFLSH)

with _nothing_discarded():
    inside = kept()
print("kept", inside, kept())
"""


class TestTerminal:
    def test_keeps_what_it_was_to_show_while_ctrl_c_is_pressed_and_is_left_as_it_was(self) -> None:
        in_terminal = f"import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', {KEYBOARD!r}]))"
        shown = subprocess.run([sys.executable, "-c", in_terminal], capture_output=True, check=True)
        assert shown.stdout.split() == [b"kept", b"True", b"False"]
