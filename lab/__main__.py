"""`python -m lab ...`: the lab's jobs without a browser."""

from lab.cli.main import main

raise SystemExit(main())
