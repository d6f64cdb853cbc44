"""What stands behind `./setup.sh`: the questions, `.env`, the check of the settings, the process in `.venv`.

The gateway itself uses nothing of it. It runs in `.venv`, or in the image where only Docker is there.
"""
