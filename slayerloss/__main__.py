"""`python -m slayerloss`, the same as the command `slayerloss`."""

from slayerloss.cli import main

raise SystemExit(main())
