"""`python -m atlas.upstreams` as a script, for the process from which the tests fork."""

import runpy

if __name__ == "__main__":
    runpy.run_module("atlas.upstreams", run_name="__main__", alter_sys=True)
