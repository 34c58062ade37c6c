"""`python -m cli`, which `./zhiyun` runs."""

from cli.app import app

if __name__ == "__main__":
    app(prog_name="zhiyun")
