"""What an operator types and reads: the questions of ./setup.sh, and how it starts the gateway."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from nursery import nursery
from setup_terminal import QUESTIONS, ROOT, Terminal, press_enter, run, settings_in

NONE_RUNS = "No gateway that ./setup.sh started runs here."
# Settings with which a gateway does not come up, though nothing is wrong in them: what is said of each.
CANNOT = {
    "ATLAS_HOST=203.0.113.7": "cannot listen on 203.0.113.7: Cannot assign",  # an address of another machine
    "ATLAS_DATABASE_URL=postgresql://me@127.0.0.1:1/atlas": "postgresql://127.0.0.1:1/atlas cannot be used",
}
SIGNING_KEY = "signkey-prod-0123456789abcdef"


# ── Questions ────────────────────────────────────────────────────────────────────────────────────────────


def test_enter_at_every_question_needs_no_account_anywhere(checkout: Path, terminal: Terminal) -> None:
    """The defaults are the named Modal function, no backend, no Inngest and no token."""
    press_enter(terminal)
    settings = settings_in(checkout)
    assert settings["MODAL_FUNCTION_NAME"] == "nislam-mics/ATLAS-NIST-Measure"
    accounts = ("OPENAI_API_KEY", "OLLAMA_HOST", "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", "MODAL_TOKEN_ID")
    assert [settings[name] for name in accounts] == [""] * 5


def test_what_was_typed_is_set_and_no_secret_was_shown(checkout: Path, terminal: Terminal) -> None:
    """Each answer arrives in .env; of the secrets nothing is on the screen."""
    answers = {
        "Modal function": "office/assess",
        "AI backend": "1",
        "Its URL": "",
        "Model": "gpt-6-sol",
        "OpenAI API key": "sk-secret-openai",
        "Inngest event key": "secret-event-key",
        "Inngest signing key": SIGNING_KEY,
        "Modal token id": "ak-secret-id",
        "Modal token secret": "as-secret-token",
        "MCP servers file": "my servers/mcp.json",
    }
    (checkout / "my servers").mkdir()
    (checkout / "my servers" / "mcp.json").touch()
    for question, text in answers.items():
        terminal.answer(question, text)
    assert terminal.finish() == 0
    settings = settings_in(checkout)
    names = ("MODAL_FUNCTION_NAME", "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_API_KEY")
    assert [settings[name] for name in (*names, "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY")] == [
        "office/assess",
        "https://api.openai.com/v1",
        "gpt-6-sol",
        "sk-secret-openai",
        "secret-event-key",
        SIGNING_KEY,
    ]
    assert (settings["MODAL_TOKEN_ID"], settings["MODAL_TOKEN_SECRET"]) == ("ak-secret-id", "as-secret-token")
    assert settings["ATLAS_MCP_CONFIG"] == "my servers/mcp.json"
    assert "office/assess" in terminal.screen
    assert "by the policy and Modal; ATLAS_ASSESSOR=openai in .env" in terminal.screen
    assert not re.search(r"secret-|0123456789abcdef", terminal.screen)
    assert settings["ATLAS_AGENT_KEY"] not in terminal.screen


# What is wrong in the answer to each question, and the sentence about it; the last one ends the questions.
WRONG = {
    "Modal function": {
        "assess": "written app/function",  # no app
        "office/as sess": "written app/function",  # a blank
    },
    "AI backend": {"4": "answer 1, 2 or 3", "openai": "answer 1, 2 or 3"},
    "Inngest event key": {"two words": "no blanks, no quotes", '"quoted"': "no blanks, no quotes"},
    "Inngest signing key": {
        "signkey-prod-xyz": "hexadecimal",
        "abc": "even number",  # half a byte
    },
    "Modal token secret": {"a$b": "no blanks, no quotes"},  # .env readers would expand it
    "MCP servers file": {
        "a$b.json": "can stand in this path",
        "no/such/file.json": "There is no such file",
    },
}


def test_a_wrong_answer_gets_a_sentence_and_the_question_again(checkout: Path, terminal: Terminal) -> None:
    """The wrong answer is not kept, and the right one is asked for until it comes."""
    for question in QUESTIONS:
        for wrong, sentence in WRONG.get(question, {}).items():
            terminal.answer(question, wrong)
            terminal.wait_for(re.escape(sentence) + r"[^\n]*\n" + re.escape(question) + r"[^\n]*: ")
        terminal.answer(question, "")
    assert terminal.finish() == 0
    kept = set(settings_in(checkout).values())
    assert not [wrong for answers in WRONG.values() for wrong in answers if wrong in kept]


def test_ollama_is_asked_for_its_url(checkout: Path, terminal: Terminal) -> None:
    """A host without a scheme is asked for again; the default is where Ollama listens."""
    terminal.answer("Modal function", "")
    terminal.answer("AI backend", "2")
    terminal.answer("Ollama host", "gpu-box:11434")
    terminal.wait_for(r"written as a URL[^\n]*\nOllama host [^\n]*: ")
    terminal.answer("Ollama host", "")
    terminal.answer("Model", "")
    press_enter(terminal, since="Inngest event key")
    settings = settings_in(checkout)
    assert (settings["OLLAMA_HOST"], settings["OPENAI_MODEL"]) == ("http://127.0.0.1:11434", "llama3.2")
    assert "Calls are judged by the policy and the AI backend." in terminal.screen


def test_a_server_of_ones_own_needs_no_key_and_openai_does(checkout: Path, terminal: Terminal) -> None:
    """vLLM, llama.cpp and the like speak OpenAI's chat completions without one."""
    terminal.answer("Modal function", "")
    terminal.answer("AI backend", "1")
    terminal.answer("Its URL", "http://127.0.0.1:8080/v1")
    terminal.answer("Model", "smollm2")
    terminal.answer("OpenAI API key", "")
    press_enter(terminal, since="Inngest event key")
    settings = settings_in(checkout)
    assert (settings["OPENAI_BASE_URL"], settings["OPENAI_API_KEY"]) == ("http://127.0.0.1:8080/v1", "")


def test_openai_itself_is_not_configured_without_a_key(checkout: Path, terminal: Terminal) -> None:
    """The question comes again."""
    for question, text in {"Modal function": "", "AI backend": "1", "Its URL": "", "Model": ""}.items():
        terminal.answer(question, text)
    terminal.answer("OpenAI API key", "")
    terminal.wait_for(r"OpenAI needs it[^\n]*\nOpenAI API key[^\n]*: ")
    terminal.answer("OpenAI API key", "sk-secret-openai")
    press_enter(terminal, since="Inngest event key")
    assert settings_in(checkout)["OPENAI_API_KEY"] == "sk-secret-openai"


def test_half_of_a_pair_of_keys_is_asked_for_again(checkout: Path, terminal: Terminal) -> None:
    """An Inngest event key alone would start a gateway that anyone could command."""
    terminal.answer("Modal function", "")
    terminal.answer("AI backend", "")
    terminal.answer("Inngest event key", "event-key")
    terminal.answer("Inngest signing key", "")
    terminal.wait_for(r"belong together[^\n]*\nInngest event key [^\n]*: ")
    terminal.answer("Inngest event key", "")
    terminal.answer("Inngest signing key", SIGNING_KEY)
    press_enter(terminal, since="Modal token id")
    settings = settings_in(checkout)
    assert (settings["INNGEST_EVENT_KEY"], settings["INNGEST_SIGNING_KEY"]) == ("event-key", SIGNING_KEY)


def test_what_is_set_already_is_kept_with_every_line_around_it(
    checkout: Path, open_questions: Callable[[], Terminal]
) -> None:
    """Asking a second time changes nothing that was not answered again, also in a file of another's hand."""
    mine = (
        "# our office\nATLAS_PORT=9000\nMODAL_FUNCTION_NAME=office/assess\nINNGEST_EVENT_KEY='event-key'\n"
        f"INNGEST_SIGNING_KEY={SIGNING_KEY}\nATLAS_AGENT_KEY=office:{'a' * 32}\nOUR_OWN=kept as it is"
    )
    (checkout / ".env").write_text(mine)
    (checkout / ".env").chmod(0o644)
    press_enter(open_questions())
    first = (checkout / ".env").read_text()
    press_enter(open_questions())
    assert (checkout / ".env").read_text() == first
    assert first.startswith(mine.replace("'event-key'", "event-key") + "\n")
    assert len(settings_in(checkout)["ATLAS_REVIEWER_KEY"]) == 64
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600


def test_a_kept_secret_is_removed_by_a_dash(checkout: Path, open_questions: Callable[[], Terminal]) -> None:
    """There is a way back to the embedded engine that needs no editor."""
    (checkout / ".env").write_text(f"INNGEST_EVENT_KEY=event-key\nINNGEST_SIGNING_KEY={SIGNING_KEY}\n")
    terminal = open_questions()
    for question, text in zip(QUESTIONS, ("", "", "-", "-", "", "", ""), strict=True):
        terminal.answer(question, text)
    assert terminal.finish() == 0
    assert (settings_in(checkout)["INNGEST_EVENT_KEY"], settings_in(checkout)["INNGEST_SIGNING_KEY"]) == (
        "",
        "",
    )


def test_another_backend_replaces_the_one_before(
    checkout: Path, open_questions: Callable[[], Terminal]
) -> None:
    """The gateway uses what it finds, so a backend that is no longer wanted must be gone."""
    (checkout / ".env").write_text("OPENAI_API_KEY=sk-one\n")
    terminal = open_questions()
    terminal.answer("Modal function", "")
    terminal.answer("AI backend [1]", "3")
    press_enter(terminal, since="Inngest event key")
    assert settings_in(checkout)["OPENAI_API_KEY"] == ""


def test_the_end_of_input_leaves_nothing_behind(checkout: Path, terminal: Terminal) -> None:
    """Who stops in the middle has the files of before, and is told so."""
    terminal.answer("Modal function", "office/assess")
    terminal.answer("AI backend", "\x04")  # Ctrl-D
    assert terminal.finish() == 1
    assert "Stopped: nothing was written." in terminal.screen
    assert [path.name for path in checkout.glob(".env*")] == [".env.example"]


def test_without_a_terminal_every_default_is_taken(checkout: Path, no_docker: Path) -> None:
    """An unattended installation gets two different keys that no one else knows, and says nothing of them."""
    done = run(checkout, "configure", first_on_path=no_docker)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No terminal: every default is taken." in done.stdout
    settings = settings_in(checkout)
    keys = {settings["ATLAS_AGENT_KEY"], settings["ATLAS_REVIEWER_KEY"]}
    assert [bool(re.fullmatch("[0-9a-f]{64}", key)) for key in keys] == [True, True]
    assert not any(key in done.stdout for key in keys)
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600


def test_without_a_terminal_a_wrong_setting_stops_with_its_name(checkout: Path, no_docker: Path) -> None:
    """Where no one can answer, a wrong value is neither used nor replaced."""
    (checkout / ".env").write_text("INNGEST_EVENT_KEY=event-key\n")
    done = run(checkout, "configure", first_on_path=no_docker)
    assert done.returncode == 1
    assert "INNGEST_EVENT_KEY in .env: The Inngest event key and signing key belong together" in done.stderr
    assert (checkout / ".env").read_text() == "INNGEST_EVENT_KEY=event-key\n"


def test_the_environment_is_named_and_not_taken(checkout: Path, no_docker: Path) -> None:
    """A key that happens to be exported neither ends in .env nor in the gateway."""
    done = run(checkout, "configure", first_on_path=no_docker, OPENAI_API_KEY="sk-from-elsewhere")
    assert "Not taken from the environment: OPENAI_API_KEY." in done.stdout
    assert settings_in(checkout)["OPENAI_API_KEY"] == ""


@pytest.mark.parametrize("arguments", [("strat",), ("stop", "now"), ("--help", "me")])
def test_an_unknown_argument_gets_the_usage(checkout: Path, arguments: tuple[str, ...]) -> None:
    """A slip of the finger starts nothing."""
    done = run(checkout, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ./setup.sh")
    assert not (checkout / ".env").exists()
    assert run(checkout, "help").stdout == done.stderr


# ── In .venv ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def installed(checkout: Path, free_port: int) -> Path:
    """A checkout whose gateway has a port and a folder of its own."""
    (checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nATLAS_DATA_DIR=the data\n")
    return checkout


def is_alive(port: int) -> bool:
    """Whether a gateway answers."""
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60, trust_env=False).status_code == 200
    return False


def test_without_docker_the_gateway_answers_when_the_command_returns(
    installed: Path, free_port: int, no_docker: Path
) -> None:
    """It runs on by itself, is replaced by the next start, and ends with stop."""
    started = run(installed, first_on_path=no_docker)
    assert started.returncode == 0, started.stderr
    assert "No Docker engine answers here" in started.stdout
    assert f"The gateway answers at http://127.0.0.1:{free_port}\n" in started.stdout
    assert is_alive(free_port)
    first = (installed / ".gateway.pid").read_text()

    again = run(installed, first_on_path=no_docker)
    assert again.returncode == 0, again.stderr
    assert is_alive(free_port)
    assert (installed / ".gateway.pid").read_text() != first

    assert "Stopped the gateway in .venv." in run(installed, "stop", first_on_path=no_docker).stdout
    assert not is_alive(free_port)
    assert NONE_RUNS in run(installed, "stop", first_on_path=no_docker).stdout


def test_the_command_ends_with_a_link_that_signs_its_owner_in_once(
    installed: Path, free_port: int, no_docker: Path
) -> None:
    """Without a terminal too; and the start-up text of the gateway says where the desk is."""
    started = run(installed, first_on_path=no_docker)
    link = started.stdout.splitlines()[-1].strip()
    place, _, code = link.partition("#")
    assert place == f"http://127.0.0.1:{free_port}/desk/enter" and len(code) > 20, started.stdout
    assert "This link signs in Sarah, once and within ten minutes:" in started.stdout
    with httpx.Client(timeout=60, trust_env=False) as browser:
        assert "Open the desk" in browser.get(link).text
        entered = browser.post(place, data={"code": code})
        assert (entered.status_code, entered.headers["location"]) == (303, "/desk")
        assert "Sarah" in browser.get(f"http://127.0.0.1:{free_port}/desk").text
        assert "used already" in browser.post(place, data={"code": code}).text
    log = (installed / "the data" / "gateway.log").read_text()
    assert f"desk       http://127.0.0.1:{free_port}/desk" in log and code not in log


def test_the_handshake_passes_against_the_gateway_that_was_started(
    installed: Path, free_port: int, no_docker: Path
) -> None:
    """The first thing a newcomer is told to try works, twice, and a wrong key is one sentence."""
    assert run(installed, first_on_path=no_docker).returncode == 0
    for _ in range(2):
        tried = run(installed, "try", first_on_path=no_docker)
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert "PASSED. The approved call ran once, the rejected one never." in tried.stdout
        assert not any(key in tried.stdout for key in settings_in(installed).values() if len(key) == 64)
    refused = run(installed, "try", first_on_path=no_docker, ATLAS_AGENT_KEY="k" * 32)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert (
        refused.stderr.strip()
        == "FAILED. The gateway refuses the agent's key: is ATLAS_AGENT_KEY the gateway's?"
    )
    run(installed, "stop", first_on_path=no_docker)
    refused = run(installed, "try", first_on_path=no_docker)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"FAILED. No gateway answers at http://127.0.0.1:{free_port}" in refused.stderr


def test_a_gateway_that_ends_at_once_is_a_failure_with_its_last_words(
    installed: Path, no_docker: Path
) -> None:
    """No one has to look for the log to learn why."""
    (installed / "gateway.py").write_text(
        "if __name__ == '__main__': raise SystemExit('no room on the disk')\n"
    )
    done = run(installed, first_on_path=no_docker)
    assert done.returncode == 1
    assert "no room on the disk" in done.stderr
    assert "The gateway did not come up; the last lines of the data/gateway.log are above." in done.stderr
    assert not (installed / ".gateway.pid").exists()


def test_a_port_that_is_held_by_another_program_is_a_sentence(
    installed: Path, free_port: int, no_docker: Path
) -> None:
    """Someone else's server is not taken for the gateway."""
    with socket.create_server(("127.0.0.1", free_port)):
        done = run(installed, first_on_path=no_docker)
    assert done.returncode == 1
    assert f"Port {free_port} is held by another program" in done.stderr


def test_an_address_or_a_database_that_is_not_there_leaves_the_gateway_alone(
    installed: Path, free_port: int, no_docker: Path
) -> None:
    """The one that runs goes on with its settings of before."""
    assert run(installed, first_on_path=no_docker).returncode == 0
    good = (installed / ".env").read_text()
    for line, sentence in CANNOT.items():
        name = line.partition("=")[0]
        others = [one for one in good.splitlines() if not one.startswith(f"{name}=")]
        (installed / ".env").write_text("\n".join([*others, line]) + "\n")
        done = run(installed, first_on_path=no_docker)
        assert done.returncode == 1 and sentence in done.stderr, done.stderr
        assert "If one runs, it was left alone." in done.stderr and is_alive(free_port)


def test_a_process_that_got_the_number_of_the_old_gateway_is_left_alone(
    installed: Path, no_docker: Path
) -> None:
    """After a restart of the machine the number in the pid file may be anyone's."""
    with subprocess.Popen(["sleep", "60"]) as other:
        (installed / ".gateway.pid").write_text(f"{other.pid}\n")
        assert NONE_RUNS in run(installed, "stop", first_on_path=no_docker).stdout
        assert other.poll() is None
        other.kill()


def test_a_python_that_is_too_old_or_missing_is_a_sentence(fresh_checkout: Path) -> None:
    """PYTHON names the interpreter; what it names is looked at before anything is made."""
    done = run(fresh_checkout, "test", PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert done.stderr == "PYTHON=/nowhere/python is no Python 3.10 or newer with venv and pip.\n"
    assert not (fresh_checkout / ".venv").exists()


def test_install_makes_the_virtual_environment_and_nothing_else(checkout: Path) -> None:
    """One can run single tests after it; no settings are written and no gateway starts."""
    for path in ROOT.glob("requirements-*.txt"):
        shutil.copy2(path, checkout)
    done = run(checkout, "install")
    assert done.returncode == 0, done.stderr
    assert "source .venv/bin/activate" in done.stdout
    for name in ("requirements-test.txt", "requirements-models.txt"):
        assert (checkout / ".venv" / f"installed-{name}").exists()
    assert not (checkout / ".env").exists()
    assert not (checkout / ".gateway.pid").exists()
    assert "ruff" not in done.stdout
    assert run(checkout, "install", "now").returncode == 2


# A Python that takes the place of ruff, mypy and pytest; the file `failing` names one that fails. pytest and
# mypy wait for each other: each ends only when the other has begun.
JUDGING_PYTHON = """#!/bin/sh
wait_for() {
    left=300
    until [ -e "$1" ]; do
        left=$((left - 1))
        [ $left -gt 0 ] || exit 9
        sleep 0.1
    done
}
case "$*" in
    "-m mypy") touch mypy-begun; wait_for pytest-begun; echo "$*" ;;
    "-m pytest"*) touch pytest-begun; wait_for mypy-begun; echo "$*" ;;
    "-m ruff"*) echo "$*" ;;
esac
case "$*" in "-m $(cat failing)"*) exit 5 ;; esac
"""


def judging(checkout: Path, failing: str) -> None:
    """Put that Python into a checkout."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(JUDGING_PYTHON)
    python.chmod(0o755)
    (checkout / "failing").write_text(failing)


@pytest.mark.parametrize(("failing", "status"), [("nothing", 0), ("pytest", 5), ("mypy", 1)])
def test_ruff_and_mypy_run_beside_the_tests_and_fail_the_run_as_these_do(
    fresh_checkout: Path, failing: str, status: int
) -> None:
    """What they say stands after what the tests say, and what goes to pytest goes to it alone."""
    judging(fresh_checkout, failing)
    done = run(fresh_checkout, "test", "-k", "a name")
    tests, *checks = done.stdout.splitlines()
    assert done.returncode == status, done.stdout + done.stderr
    assert tests.startswith("-m pytest") and tests.endswith("-k a name")
    assert checks == ["-m ruff check .", "-m ruff format --check .", "-m mypy"]


@pytest.mark.parametrize("failing", ["ruff check", "ruff format"])
def test_what_ruff_finds_fails_the_run(fresh_checkout: Path, failing: str) -> None:
    """mypy is not asked then, so pytest has nothing to wait for."""
    judging(fresh_checkout, failing)
    (fresh_checkout / "mypy-begun").touch()
    done = run(fresh_checkout, "test")
    assert done.returncode == 1 and f"-m {failing}" in done.stdout.splitlines()[-1]
    assert "-m mypy" not in done.stdout


# ── In Docker ────────────────────────────────────────────────────────────────────────────────────────────

# A docker that writes down what it is asked. What should run in a container for a moment runs here, with the
# files and settings that the container would have; its port is bound for that moment. The gateway itself is
# a file `running` beside it, which may say at what port, unless there is a file `broken`; there is Compose
# where there is a file `compose`. A file `user` says whose container it is.
RECORDING_DOCKER = """
import os, re, socket, subprocess, sys
from pathlib import Path

here, words = Path(__file__).parent, sys.argv[1:]
with (here / "calls").open("a") as calls:
    print(*words, sep="\\t", file=calls)
with (here / "environment").open("a") as environment:
    print(dict(os.environ), file=environment)
line = " ".join(words)
if line == "compose version":
    sys.exit(not (here / "compose").exists())
if words[0] == "run" and "atlas.configure" in words:
    places = dict(re.findall(r"type=bind,source=([^,]+),target=([^,\t]+)", "\t".join(words)))
    inside = {place: source for source, place in places.items()}
    before = dict(zip(words[1:], words))
    given = dict(word.split("=", 1) for word in words if before.get(word) == "--env")
    given |= dict(word[6:].split("=", 1) for word in words if re.match("--env=.*=", word))
    for address, port in re.findall("--publish=([0-9.]+):([0-9]*):", " ".join(words)):
        try:
            socket.create_server((address, int(port or 0))).close()
        except OSError as error:
            sys.exit(f"docker: Error response from daemon: {error.strerror}")
    given = {name: inside.get(value, value) for name, value in given.items() if value}
    command = [inside.get(word, word) for word in words[words.index("atlas-gateway") + 2 :]]
    sys.exit(subprocess.run([here / "quick-python", *command], env=os.environ | given).returncode)
is_start = line.startswith("run --detach") or (words[0] == "compose" and "up" in words)
if is_start and not (here / "broken").exists():
    (here / "running").touch()
if words[0] in ("stop", "rm"):
    (here / "running").unlink(missing_ok=True)
if words[0] == "logs":
    print("the last words of the container")
is_running = str((here / "running").exists()).lower()
if words[0] == "inspect":
    user = (here / "user").read_text() if (here / "user").exists() else f"{os.getuid()}:0"
    print(user if ".Config.User" in line else f"{is_running} 0")
if words[0] == "exec" and "printenv" in words and (here / "running").exists():
    print((here / "running").read_text())
if words[0] == "exec":
    sys.exit(not (here / "running").exists())
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A folder for the path with a docker that records its calls."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "docker.py").write_text(RECORDING_DOCKER)
    (folder / "docker").write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{folder}/docker.py" "$@"\n')
    nursery().python(folder / "quick-python")
    (folder / "docker").chmod(0o755)
    return folder


def calls_of(docker: Path) -> list[list[str]]:
    """The arguments of each call so far."""
    return [line.split("\t") for line in (docker / "calls").read_text().splitlines()]


def run_of(docker: Path) -> list[str]:
    """The arguments with which the gateway's container was started."""
    return next(call for call in calls_of(docker) if call[:2] == ["run", "--detach"])


def exported_to(docker: Path) -> dict[str, str]:
    """The environment that the last call of docker had."""
    last = (docker / "environment").read_text().splitlines()[-1]
    return dict(re.findall(r"'(\w+)': '([^']*)'", last))


def test_with_docker_the_container_is_replaced_and_reached_from_this_machine_only(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """Build, ask, check, end the old one, run: published on loopback, data in a volume, .env as a file."""
    (fresh_checkout / ".env").write_text(
        f"ATLAS_PORT={free_port}\nATLAS_HOST=127.0.0.1\nATLAS_DATA_DIR=data\n"
    )
    (docker / "running").touch()
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 0, done.stderr
    assert f"The gateway answers at http://127.0.0.1:{free_port}\n" in done.stdout
    order = [call[0] for call in calls_of(docker) if call[0] in ("build", "stop", "rm", "run")]
    # Build, ask, check, try the address; end the old one, give the volume, start.
    assert order == ["build", "run", "run", "run", "stop", "run", "rm", "run"]
    command = run_of(docker)
    for words in (
        "--name=atlas-gateway",
        "--restart=unless-stopped",
        "--init=true",
        "--read-only=true",
        "--cap-drop=ALL",
        f"--user={os.getuid()}:0",
        "--env=ATLAS_HOST=0.0.0.0",
        f"--env=ATLAS_PORT={free_port}",
        "--env=ATLAS_DATA_DIR=/data",
        f"--publish=127.0.0.1:{free_port}:{free_port}",
        "--mount=type=volume,source=atlas-gateway-data,target=/data",
        f"--mount=type=bind,source={fresh_checkout}/.env,target=/app/.env,readonly",
        "--log-opt=max-size=10m",
    ):
        assert words in command
    assert sum(words.startswith("--publish") for words in command) == 1
    assert sum(words.startswith("--mount") for words in command) == 2
    assert command[-1] == "atlas-gateway"
    assert not (fresh_checkout / ".venv").exists()


def test_where_there_is_compose_it_gets_what_the_description_asks_for(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """The same container; Compose itself reads nothing of .env."""
    (docker / "compose").touch()
    (fresh_checkout / "mine.toml").write_text((ROOT / "atlas" / "policy.toml").read_text())
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nATLAS_POLICY=mine.toml\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 0, done.stderr
    up = [
        "compose",
        "--env-file",
        "/dev/null",
        "--progress",
        "quiet",
        "up",
        "--detach",
        "--no-build",
        "--force-recreate",
    ]
    assert up in calls_of(docker)
    given = exported_to(docker)
    assert given["ATLAS_PORT"] == str(free_port)
    assert given["ATLAS_POLICY"] == f"{fresh_checkout}/mine.toml"
    assert given["GATEWAY_USER"] == f"{os.getuid()}:0"


@pytest.mark.parametrize("is_compose", [True, False])
def test_no_secret_is_given_to_docker_but_in_the_file(
    fresh_checkout: Path, docker: Path, free_port: int, is_compose: bool
) -> None:
    """Arguments are seen by every user of the machine, and the environment by some."""
    if is_compose:
        (docker / "compose").touch()
    (fresh_checkout / ".env").write_text(
        f"ATLAS_PORT={free_port}\nMODAL_TOKEN_ID=ak-secret\nMODAL_TOKEN_SECRET=as-secret\nOPENAI_API_KEY=sk-secret\n"
    )
    done = run(fresh_checkout, first_on_path=docker, MODAL_TOKEN_SECRET="another-secret")
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr + (docker / "calls").read_text() + (docker / "environment").read_text()
    assert "-secret" not in told
    assert settings_in(fresh_checkout)["ATLAS_AGENT_KEY"] not in told


def test_in_a_container_the_servers_of_this_machine_are_found(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """On Linux a container that shares the network finds them at 127.0.0.1, and listens there itself."""
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nOLLAMA_HOST=http://127.0.0.1:11434\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 0, done.stderr
    assert "shares the network of this machine, as OLLAMA_HOST in .env asks for it" in done.stdout
    command = run_of(docker)
    assert "--network=host" in command
    assert "--env=ATLAS_HOST=127.0.0.1" in command
    assert not any(words.startswith("--publish") for words in command)


@pytest.mark.parametrize(
    ("engine", "status", "sentence"),
    [
        ("Docker Desktop", 0, "127.0.0.1 of this machine, which is host.docker.internal in the container"),
        ("Debian [name=seccomp name=rootless]", 1, "does not reach 127.0.0.1 of this machine"),
    ],
)
def test_where_the_network_cannot_be_shared_it_is_said_what_holds(
    fresh_checkout: Path, docker: Path, free_port: int, engine: str, status: int, sentence: str
) -> None:
    """Docker Desktop has a name for this machine; a rootless engine reaches no loopback address at all."""
    (docker / "docker").write_text(
        f'#!/bin/sh\n[ "$1" != info ] || {{ echo "{engine}"; exit; }}\n'
        f'exec "{sys.executable}" -IS "{docker}/docker.py" "$@"\n'
    )
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nOLLAMA_HOST=http://127.0.0.1:11434\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == status, done.stderr
    assert sentence in done.stdout + done.stderr
    if status == 0:
        assert "--env=OLLAMA_HOST" in run_of(docker)
        assert exported_to(docker)["OLLAMA_HOST"] == "http://host.docker.internal:11434"


def test_in_a_container_another_address_is_the_one_of_the_machine(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """ATLAS_HOST means what it means outside of Docker."""
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nATLAS_HOST=0.0.0.0\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 0, done.stderr
    assert {"--network=host", "--env=ATLAS_HOST=0.0.0.0"} < set(run_of(docker))


def test_in_a_container_a_file_of_ours_is_alone(fresh_checkout: Path, docker: Path, free_port: int) -> None:
    """The policy and the file of the servers are mounted, each without the folder around it."""
    (fresh_checkout / ".env").write_text(
        f"ATLAS_PORT={free_port}\nATLAS_POLICY=mine.toml\nATLAS_MCP_CONFIG=my servers/mcp.json\n"
    )
    (fresh_checkout / "mine.toml").write_text((ROOT / "atlas" / "policy.toml").read_text())
    (fresh_checkout / "my servers").mkdir()
    (fresh_checkout / "my servers" / "mcp.json").write_text('{"mcpServers": {}}')
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 0, done.stderr
    command = run_of(docker)
    mounts = [words for words in command if words.startswith("--mount=type=bind")]
    assert [re.sub(r".*source=(.*),readonly", r"\1", words) for words in mounts] == [
        f"{fresh_checkout}/.env,target=/app/.env",
        f"{fresh_checkout}/my servers/mcp.json,target=/mcp.json",
        f"{fresh_checkout}/mine.toml,target=/policy.toml",
    ]
    assert {"--env=ATLAS_POLICY=/policy.toml", "--env=ATLAS_MCP_CONFIG=/mcp.json"} < set(command)


def test_with_docker_settings_that_cannot_be_used_leave_the_gateway_alone(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """The mistake is a sentence, and the gateway that runs goes on."""
    (docker / "running").touch()
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\nATLAS_RISK_THRESHOLD=900\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 1
    assert "ATLAS_RISK_THRESHOLD: Input should be less than or equal to 100.\n" in done.stderr
    assert "If one runs, it was left alone." in done.stderr
    assert not {"stop", "rm", "kill"} & {call[0] for call in calls_of(docker)}


@pytest.mark.parametrize(("line", "sentence"), CANNOT.items())
def test_with_docker_an_address_or_a_database_that_is_not_there_leaves_the_gateway_alone(
    fresh_checkout: Path, docker: Path, free_port: int, line: str, sentence: str
) -> None:
    """It is tried in the network of the container, before the old one ends."""
    (docker / "running").write_text(str(free_port))
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n{line}\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 1 and sentence in done.stderr, done.stderr
    assert "If a gateway runs, it was left alone." in done.stderr
    assert not {"stop", "rm", "kill"} & {call[0] for call in calls_of(docker)}


@pytest.mark.parametrize(("held_by_it", "status"), [(False, 1), (True, 0)])
def test_with_docker_a_port_is_free_or_the_old_gateway_has_it(
    fresh_checkout: Path, docker: Path, free_port: int, held_by_it: bool, status: int
) -> None:
    """Another program's port is found while the old gateway runs, whose own port is no obstacle."""
    (docker / "running").write_text(str(free_port) if held_by_it else "1")
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n")
    with socket.create_server(("127.0.0.1", free_port)):
        done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == status, done.stderr
    assert (f"End what holds port {free_port}, or change ATLAS_HOST" in done.stderr) is not held_by_it
    assert (["stop", "atlas-gateway"] in calls_of(docker)) is held_by_it


def test_files_of_another_user_are_given_away_before_they_are_read(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """Where no container runs; under one of another user that runs, nothing is changed."""
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n")
    assert run(fresh_checkout, first_on_path=docker).returncode == 0
    words = [" ".join(call) for call in calls_of(docker)]
    [given] = [place for place, call in enumerate(words) if f"chown -R {os.getuid()}:0 /data" in call]
    assert given < next(place for place, call in enumerate(words) if "atlas.configure check" in call)

    (docker / "calls").unlink()
    (docker / "user").write_text("4711:0")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 1
    assert "is of another user. End it with ./setup.sh stop: then ./setup.sh gives" in done.stderr
    assert not any({"chown", "stop", "rm"} & {*call} for call in calls_of(docker))


@pytest.mark.parametrize(
    ("times", "seconds"),
    [("", 330), ("ATLAS_STOP_TIMEOUT=10m\nATLAS_DRAIN_TIME=30s\n", 650)],
)
def test_a_container_has_the_time_to_end_that_its_settings_give_it(
    fresh_checkout: Path, docker: Path, free_port: int, times: str, seconds: int
) -> None:
    """With Compose too, which reads it from the environment."""
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n{times}")
    assert run(fresh_checkout, first_on_path=docker).returncode == 0
    assert f"--stop-timeout={seconds}" in run_of(docker)
    assert exported_to(docker)["GATEWAY_GRACE"] == f"{seconds}s"


def test_a_container_that_ends_at_once_is_a_failure_with_its_last_words(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """It is stopped too, so that Docker does not start it over and over."""
    (docker / "broken").touch()
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n")
    done = run(fresh_checkout, first_on_path=docker)
    assert done.returncode == 1
    assert "the last words of the container" in done.stderr
    assert "The gateway did not come up in its container" in done.stderr
    assert ["stop", "atlas-gateway"] in calls_of(docker)


def test_a_container_does_not_silently_forget_the_cases_of_before(
    fresh_checkout: Path, docker: Path, free_port: int
) -> None:
    """Who installs Docker later learns that the volume is not the folder used until then."""
    (fresh_checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n")
    (fresh_checkout / "data").mkdir()
    (fresh_checkout / "data" / "atlas.db").touch()
    done = run(fresh_checkout, first_on_path=docker)
    assert "those in data stay there, unused" in done.stdout


def test_without_its_engine_the_cases_of_a_container_are_not_silently_forgotten(
    installed: Path, docker: Path, no_docker: Path
) -> None:
    """A gateway that ran in Docker does not begin in .venv with an empty data directory."""
    assert run(installed, first_on_path=docker).returncode == 0
    done = run(installed, first_on_path=no_docker)
    assert done.returncode == 1
    assert "its cases are in the volume atlas-gateway-data" in done.stderr
    assert not (installed / "the data").exists()


def test_without_its_engine_it_is_not_said_that_no_container_runs(
    installed: Path, docker: Path, no_docker: Path
) -> None:
    """No one knows, so `stop` fails and says what to do."""
    assert run(installed, first_on_path=docker).returncode == 0
    done = run(installed, "stop", first_on_path=no_docker)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Docker engine answers: start Docker" in done.stderr
    assert "Stopped the gateway in Docker." in run(installed, "stop", first_on_path=docker).stdout


def test_with_docker_alone_the_handshake_runs_in_the_container(fresh_checkout: Path, docker: Path) -> None:
    """It is in the image; a key of the environment is handed over by its name."""
    (docker / "running").touch()
    done = run(fresh_checkout, "try", "http://127.0.0.1:9", first_on_path=docker, ATLAS_AGENT_KEY="secret")
    assert done.returncode == 0, done.stderr
    words = ["--env=ATLAS_AGENT_KEY", "atlas-gateway", "python", "test_handshake.py", "http://127.0.0.1:9"]
    assert calls_of(docker)[-1] == ["exec", *words]


# ── The image and CI ─────────────────────────────────────────────────────────────────────────────────────


def test_the_image_gets_what_runs_and_nothing_else() -> None:
    """Settings, data and tests of a checkout cannot get into an image, nor can a file no one thought of."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    files = {"gateway.py", "workflows.py", "test_handshake.py", "compose.yaml", ".env.example"}
    assert let_in == {"requirements.lock", "sbom.cdx.json*", "atlas"} | files
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for names in copied for name in names.split()} == let_in


def test_ci_runs_the_command_of_the_developers() -> None:
    """What is green there is green for everybody, from a fresh clone."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    runs = [line.strip() for line in script.read_text().splitlines() if "./setup.sh test" in line]
    again = "--last-failed --last-failed-no-failures=none --numprocesses=0"
    assert runs == [
        './setup.sh test "$@" </dev/null && return',
        f'./setup.sh test "$@" {again} </dev/null',  # after it failed, and it ends as this one ends
    ]
