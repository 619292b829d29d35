"""`python -m shortlist.cli` is `shortlist`."""

from shortlist.cli.main import main

if __name__ == "__main__":
    main()
