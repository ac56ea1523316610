"""``python -m analysis``."""

from analysis.commands.cli import main

if __name__ == "__main__":
    main()
