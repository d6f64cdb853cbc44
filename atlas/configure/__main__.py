"""`python -m atlas.configure questions|again|check|reach|start|stop|several`: what the scripts hand over."""

import sys
from pathlib import Path

from atlas.configure.env_file import read_values, write_values
from atlas.configure.person import Person
from atlas.settings import Settings

DATA_OF_CONTAINER = Path("/data")
EXAMPLE = Path(__file__).parents[2] / ".env.example"


def ask(folder: Path) -> None:
    """Ask all questions about the `.env` of a folder, and write it."""
    from atlas.configure.questions import Questions, judges

    person, file = Person(), folder / ".env"
    if not person.is_there:
        print("No terminal: every default is taken.")
    questions = Questions(read_values(file), person)
    questions.ask_all()
    _keep(folder, questions.answers)
    try:
        print(judges(Settings.read(_env_file=file)))
    except SystemExit as error:  # of what was not asked; that is for the check before the start to refuse
        print(f"The gateway cannot start with this .env: {error}", file=sys.stderr)


def ask_again(folder: Path) -> None:
    """Ask once more for the MCP configuration, which `./setup.sh` has not found on this machine."""
    from atlas.configure.questions import Questions

    stored = read_values(folder / ".env") | {"ATLAS_MCP_CONFIG": ""}
    questions = Questions(stored, Person())
    questions.ask_mcp_config()
    _keep(folder, questions.answers)


def _keep(folder: Path, answers: dict[str, str]) -> None:
    write_values(folder / ".env", answers, template=EXAMPLE)
    settings = read_values(folder / ".env")
    # For a shell, which reads no .env: the files that it has to look for, and to give to a container.
    (folder / "mcp_config").write_text(settings.get("ATLAS_MCP_CONFIG", ""), encoding="utf-8")
    (folder / "policy").write_text(settings.get("ATLAS_POLICY", ""), encoding="utf-8")


def check(engine: str, given: list[str]) -> None:
    """Find out whether the gateway would start, and print what `./setup.sh` has to do then.

    For a container `given` holds its variables of compose.yaml, as NAME=value.
    """
    from atlas.configure.check import build_gateway, what_to_do
    from atlas.configure.reach import reach

    settings = Settings.read()
    build_gateway(settings.atlas_data_dir if engine == "none" else DATA_OF_CONTAINER)
    if engine == "none":  # a container is tried in its own network: by `reach`
        reach(settings, port=0)  # `start` looks at the port, and knows whether the old gateway has it
    values = dict(text.split("=", 1) for text in given)
    print(*what_to_do(settings, engine=engine, given=values), sep="\n")


def main(arguments: list[str]) -> None:
    """Do what the first word says."""
    match arguments:
        case ["questions", folder]:
            ask(Path(folder))
        case ["again", folder]:
            ask_again(Path(folder))
        case ["check", engine, *given]:
            check(engine, given)
        case ["reach"]:
            from atlas.configure.reach import reach

            settings = Settings.read()
            reach(settings, port=settings.atlas_port)
        case ["start", host, port, log]:
            from atlas.configure.process import start

            start(host, int(port), Path(log))
        case ["stop"]:
            from atlas.configure.process import stop

            raise SystemExit(0 if stop() else 1)
        case ["several", folder, *host] if len(host) < 2:
            from atlas.configure.several import write_all

            write_all(Path(folder), host[0] if host else None)
        case _:
            raise SystemExit(f"usage: {__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
